/** A rule of the lab's own: of several numbers, the one that is nearest to what was there before; of two as near, the smaller. */

export default function smallerStep({ base, candidates }) {
  const before = typeof base === "number" ? base : 0;
  const numbers = candidates.map(({ value }) => value).filter((value) => typeof value === "number");
  if (numbers.length === 0) throw new Error("there is no number to choose");
  return numbers.toSorted((a, b) => Math.abs(a - before) - Math.abs(b - before) || a - b)[0];
}
