/** A document's value with what rules answer. Owns nothing: neither the value nor the conflicts are changed. */

import type { Path } from "../wasm/rejoin.js";
import type { Conflict } from "./types.js";

type Container = Record<string | number, unknown>;

/** What stands at a path; `undefined` if nothing does. */
export function lookUp(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, step) => (isContainer(at) && Object.hasOwn(at, step) ? at[step] : undefined), value);
}

/** The value with the answers of all projected conflicts in their places, and what people are to be shown until they have decided. What is not touched by one is the same object. */
export function project<T>(value: T, conflicts: readonly Conflict[]): T {
  const answered = (conflict: Conflict) => conflict.state === "projected" || (conflict.state === "open" && "answer" in conflict);
  const projected = conflicts.filter(answered);
  // From the root down, so that an answer for a whole object does not hide those for what is in it.
  const isPut = ({ answer, gone }: Conflict) => answer !== undefined && !gone;
  const puts = projected.filter(isPut).toSorted((a, b) => a.path.length - b.path.length);
  // What takes away, or puts back, comes last and from behind, so that no place moves before its turn.
  const moves = projected.filter((conflict) => !isPut(conflict)).toSorted((a, b) => behind(a.path, b.path) || Number(!!a.gone) - Number(!!b.gone));
  return [...puts, ...moves].reduce((at, { path, answer, gone }) => put(at, path, answer, gone) as T, value);
}

/** Orders paths from the last place of a document to the first. */
function behind(a: Path, b: Path): number {
  const at = a.findIndex((step, index) => step !== b[index]);
  const [one, other] = [a[at], b[at]];
  if (one === undefined || other === undefined) return b.length - a.length;
  return typeof one === "number" && typeof other === "number" ? other - one : String(one) < String(other) ? 1 : -1;
}

/** With an answer in its place. An element that is gone comes back there, or does not. */
function put(value: unknown, path: Path, answer: unknown, gone?: true): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return answer;
  // What stands above it may be gone.
  if (!isContainer(value)) return value;
  if (gone && rest.length === 0) return !Array.isArray(value) || answer === undefined ? value : Object.freeze(value.toSpliced(step as number, 0, answer));
  const isPlaced = typeof step === "string" ? !Array.isArray(value) : Array.isArray(value) && step < value.length;
  if (!isPlaced || (rest.length > 0 && !Object.hasOwn(value, step))) return value;
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Container;
  const within = put(copy[step], rest, answer, gone);
  if (within !== undefined) copy[step] = within;
  else if (Array.isArray(copy)) copy.splice(step as number, 1);
  else delete copy[step];
  return Object.freeze(copy);
}

function isContainer(value: unknown): value is Container {
  return typeof value === "object" && value !== null && !(value instanceof Date) && !(value instanceof Uint8Array);
}
