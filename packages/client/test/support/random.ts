/** Chance that a seed gives again: Numerical Recipes' generator, enough to spread what is tried. Not for secrets. */

/** A whole number below another. */
export type Random = (below: number) => number;

export function random(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
