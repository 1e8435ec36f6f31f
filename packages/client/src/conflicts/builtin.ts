/**
 * What the built-in rules answer: pure functions of a conflict's base and the set of its candidates.
 *
 * Owns the answers alone, in step with `sync-core/src/resolver/builtin.rs`: `sync-core/tests/rules.json` holds both to the same. A rule that has
 * none throws, and people decide.
 */

import { hunks, same } from "../diff.js";
import type { Rule } from "./policy.js";
import type { Candidate, Conflict } from "./types.js";

type Answers = (sides: readonly Candidate[], base: unknown, options: Rule["options"], steps: Conflict["steps"]) => unknown;
type Map = Readonly<Record<string, unknown>>;

/** Given the sides in order, each once. */
const RULES: Record<string, Answers> = {
  latest: (sides) => sides.at(-1)?.value,
  first: (sides) => sides[0]?.value,
  max: (sides) => extreme(sides, (a, b) => a > b),
  min: (sides) => extreme(sides, (a, b) => a < b),
  union,
  concat: (sides, _, { separator }) => [...new Set(sides.map(string))].join(typeof separator === "string" ? separator : ""),
  sumDeltas,
  order: (sides, _, { values }) => furthest(sides, Array.isArray(values) ? values : []),
  text3way: (sides, base) => sides.map(string).reduce((merged, text) => merge3(typeof base === "string" ? base : "", merged, text)),
  mergeMaps,
  prefer,
  reject: (_, base) => base,
};

/** The answer of a built-in rule. */
export function decide(rule: Rule, { candidates, base, steps }: Conflict): unknown {
  const answers = RULES[rule.rule];
  if (!answers || rule.version !== 1) throw new Error("is none that this version knows");
  const sides = inOrder(candidates);
  one(sides, "there are no sides");
  return answers(sides, base, rule.options, steps);
}

/** The set of sides, of which two with one change are one: by the authors' clocks; of one time, by the changes' names, which are the same everywhere. */
function inOrder(sides: readonly Candidate[]): Candidate[] {
  const named = (a: Candidate, b: Candidate) => (a.change < b.change ? -1 : Number(a.change > b.change));
  const sorted = sides.toSorted((a, b) => (a.at ?? 0) - (b.at ?? 0) || named(a, b));
  return sorted.filter(({ change }, index) => change !== sorted[index - 1]?.change);
}

function one<T>(items: readonly T[], otherwise: string): T {
  if (items.length === 0) throw new Error(`can't answer: ${otherwise}`);
  return items[0] as T;
}

function number({ value }: { value: unknown }): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new Error("can't answer: one of the sides is no number");
  return value;
}

function string({ value }: { value: unknown }): string {
  if (typeof value !== "string") throw new Error("can't answer: one of the sides is no text");
  return value;
}

function extreme(sides: readonly Candidate[], beyond: (a: number | string, b: number | string) => boolean): unknown {
  const values = sides.every(({ value }) => typeof value === "string") ? sides.map(string) : sides.map(number);
  return values.reduce((best: number | string, value: number | string) => (beyond(value, best) ? value : best));
}

function sumDeltas(sides: readonly Candidate[], base: unknown, _: Rule["options"], steps: Conflict["steps"]): number {
  const before = base === undefined ? 0 : number({ value: base });
  const numbers = sides.map(number);
  // Of a fraction, what one side added need not give that side again.
  if (numbers.length === 1) return numbers[0] as number;
  if (!steps) return numbers.reduce((sum, side) => exact(sum + (side - before)), before);
  one(steps, "too much was put there to tell which steps the sides have in common");
  return steps.reduce((sum, { value, times }) => exact(sum + number({ value }) * times), 0);
}

function exact(sum: number): number {
  if (Math.abs(sum) > Number.MAX_SAFE_INTEGER) throw new Error("can't answer: the sum is too large to be exact");
  return sum;
}

function prefer(sides: readonly Candidate[], _: unknown, { author, role, authors }: Rule["options"]): unknown {
  const isTheirs = (side: Candidate) => (role === undefined ? side.author === author : Array.isArray(authors) && authors.includes(side.author));
  const by = role === undefined ? "by that author" : `by anybody of the role ${String(role)}`;
  return one(sides.filter(isTheirs).toReversed(), `none of the sides is ${by}`).value;
}

function furthest(sides: readonly Candidate[], values: readonly unknown[]): unknown {
  const at = sides.map(({ value }) => values.indexOf(value));
  if (at.includes(-1)) throw new Error("can't answer: one of the sides is not in its order");
  return values[Math.max(...at)];
}

function union(sides: readonly Candidate[]): unknown {
  const values = sides.map(({ value }) => value);
  if (values.every(isMap)) return mergeMaps(sides, undefined);
  if (!values.every((value) => Array.isArray(value))) throw new Error("can't answer: the sides are not all lists or all maps");
  const all: unknown[] = [];
  for (const item of values.flat()) if (!all.some((held) => alike(held, item))) all.push(item);
  return all;
}

function mergeMaps(sides: readonly Candidate[], base: unknown): Map {
  const maps = sides.map(({ value }) => value);
  if (!maps.every(isMap)) throw new Error("can't answer: one of the sides is no map");
  const before = isMap(base) ? base : {};
  const merged: [string, unknown][] = [];
  for (const key of [...new Set([...maps, before].flatMap(Object.keys))].toSorted()) {
    // What a side left as it was is no opinion; nor, of what was not there, that it is still not.
    const said = maps.map((map) => own(map, key)).filter((value) => !alike(value, own(before, key)));
    if (said.some((value) => !alike(value, said[0]))) throw new Error(`can't answer: the sides differ in ${key}`);
    const value = said.length > 0 ? said[0] : own(before, key);
    if (value !== undefined) merged.push([key, value]);
  }
  return Object.fromEntries(merged);
}

/** Both sides' edits of `base`, word by word. */
function merge3(base: string, one: string, other: string): string {
  if (one === other) return one;
  const words = (text: string) => text.split(/(?<=\s)/);
  const [before, ...sides] = [base, one, other].map(words) as [string[], string[], string[]];
  const edits = sides.flatMap((side) =>
    hunks(before.length, side.length, (a, b) => before[a] === side[b]).map(({ from, to, newFrom, newTo }) => ({ from, to, words: side.slice(newFrom, newTo) })),
  );
  edits.sort((a, b) => a.from - b.from || a.to - b.to);
  let [at, merged, last]: [number, string, (typeof edits)[number] | undefined] = [0, "", undefined];
  for (const edit of edits) {
    if (last && edit.from === last.from && edit.to === last.to && edit.words.join("") === last.words.join("")) continue;
    if (last && (edit.from < at || edit.from === last.from)) throw new Error("can't answer: the sides changed the same words");
    merged += before.slice(at, edit.from).join("") + edit.words.join("");
    [at, last] = [edit.to, edit];
  }
  return merged + before.slice(at).join("");
}

function own(map: Map, key: string): unknown {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}

function isMap(value: unknown): value is Map {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date) && !(value instanceof Uint8Array);
}

function alike(a: unknown, b: unknown): boolean {
  return same(a, b, new WeakMap(), new WeakMap());
}
