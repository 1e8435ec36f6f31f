/**
 * What has changed between two values of a document, as patches that lead from one to the other.
 *
 * Owns how lists are aligned; `align.ts` does texts, and lists that differ in many places. Looks at values alone: what came back to what it was has not changed.
 */

import { between, scattered } from "./align.js";
import { isText, marksOf, moved, remarks, sameKind } from "./marks.js";
import type { Mark, MarkValue, Path } from "./wasm/rejoin.js";

/**
 * One change of a value. Patches are done one after the other, and each names its place as it is then. Positions in texts count UTF-16
 * units.
 */
export type Patch =
  /** There is another value at the end of `path`. */
  | { readonly kind: "put"; readonly path: Path; readonly value: unknown }
  /** The key at the end of `path` is gone. */
  | { readonly kind: "delete"; readonly path: Path }
  /** In the list at `path` elements have gone or come. */
  | { readonly kind: "splice"; readonly path: Path; readonly index: number; readonly deleted: number; readonly inserted: readonly unknown[] }
  /** In the text at `path` characters have gone or come. */
  | { readonly kind: "text"; readonly path: Path; readonly index: number; readonly deleted: number; readonly inserted: string }
  /** In the text at `path` a mark has another value from `from` to `to`, or is gone there: `null`. A mark that only went along with its text is not told. */
  | { readonly kind: "mark"; readonly path: Path; readonly from: number; readonly to: number; readonly name: string; readonly value: MarkValue | null };

/** What a string or number in a value may be beyond that; of a text with marks they are the kind. */
export type Kind = "text" | "counter" | readonly Mark[];

/** Texts and counters by the container that they stand in: as values they look like strings and numbers. */
export type Kinds = WeakMap<object, Map<string | number, Kind>>;

/** A value, and which strings in it are texts and which numbers counters. */
export type Shown = { readonly value: object; readonly kinds: Kinds };

/** Where two sequences differ: what stands from `from` to `to` in the old one, and what in the new one. */
export type Hunk = { from: number; to: number; newFrom: number; newTo: number };

/**
 * Most steps that an alignment of lists, or of words, looks for; beyond, all of the words between what is alike at both ends counts as new. The
 * engine's rule for texts has the same bound: both answer alike.
 */
const STEPS_MAX = 200;

/** Which patches lead from one value to another. */
export function diff(old: Shown, now: Shown): Patch[] {
  const patches: Patch[] = [];
  compare(old, now, [], (patch) => void patches.push(patch));
  return patches;
}

/** What a patch took away, and where it stood; of a text what went, of a list the elements that did, of a mark those that its text had. */
export type Was = { readonly value: unknown; readonly had: boolean; readonly container: object; readonly at: string | number };

type Tell = (patch: Patch, was: Was) => void;

/** Calls `tell` with each patch that leads from `old` to `now`; the patches' places are those in `now`. */
export function compare(old: Shown, now: Shown, path: Path, tell: Tell): void {
  // What both share has not changed.
  if (old.value === now.value) return;
  if (Array.isArray(old.value)) lists(old, now, path, tell);
  else maps(old, now, path, tell);
}

function maps(old: Shown, now: Shown, path: Path, tell: Tell): void {
  const [before, after] = [old.value, now.value] as [Record<string, unknown>, Record<string, unknown>];
  for (const key of Object.keys(before)) {
    if (!Object.hasOwn(after, key)) tell({ kind: "delete", path: [...path, key] }, { value: before[key], had: true, container: before, at: key });
  }
  for (const key of Object.keys(after)) {
    if (Object.hasOwn(before, key)) items(old, key, now, key, [...path, key], tell);
    else tell({ kind: "put", path: [...path, key], value: after[key] }, { value: undefined, had: false, container: before, at: key });
  }
}

function lists(old: Shown, now: Shown, path: Path, tell: Tell): void {
  const [before, after] = [old.value, now.value] as [unknown[], unknown[]];
  const alike = (at: number, nowAt: number) =>
    sameKind(kindOf(old, at), kindOf(now, nowAt)) && same(before[at], after[nowAt], old.kinds, now.kinds);
  for (const { from, to, newFrom, newTo } of hunks(before.length, after.length, alike, () => roughly(before, after))) {
    const both = Math.min(to - from, newTo - newFrom);
    for (let offset = 0; offset < both; offset += 1) {
      items(old, from + offset, now, newFrom + offset, [...path, newFrom + offset], tell);
    }
    if (both === to - from && both === newTo - newFrom) continue;
    const inserted = after.slice(newFrom + both, newTo);
    const patch: Patch = { kind: "splice", path, index: newFrom + both, deleted: to - from - both, inserted };
    tell(patch, { value: before.slice(from + both, to), had: true, container: before, at: from + both });
  }
}

/** Where lists differ in many places, by what of them is alike as JSON; the stretches between, in which it may not be, too. */
function roughly(before: unknown[], after: unknown[]): Hunk[] {
  const known = new Map<string, number>();
  const numbered = (list: unknown[]) =>
    list.map((item) => {
      const json = JSON.stringify(item, (_, part: unknown) => (typeof part === "bigint" ? String(part) : part));
      const number = known.get(json) ?? known.size;
      known.set(json, number);
      return number;
    });
  let [from, newFrom] = [0, 0];
  const end = { from: before.length, to: before.length, newFrom: after.length, newTo: after.length };
  return [...scattered(numbered(before), numbered(after)), end].flatMap((hunk) => {
    const stretch = { from, to: hunk.from, newFrom, newTo: hunk.newFrom };
    [from, newFrom] = [hunk.to, hunk.newTo];
    return [stretch, hunk];
  });
}

function items(old: Shown, at: string | number, now: Shown, nowAt: string | number, path: Path, tell: Tell): void {
  const [before, after] = [(old.value as Items)[at], (now.value as Items)[nowAt]];
  const [kind, nowKind] = [kindOf(old, at), kindOf(now, nowAt)];
  const was = (value: unknown): Was => ({ value, had: true, container: old.value, at });
  const put = () => tell({ kind: "put", path, value: after }, was(before));
  if (isText(kind) && isText(nowKind)) {
    let marks = marksOf(kind);
    for (const { removed, ...patch } of texts(before as string, after as string)) {
      tell({ kind: "text", path, ...patch }, was(removed));
      if (marks.length > 0) marks = moved(marks, patch.index, patch.deleted, patch.inserted.length);
    }
    for (const remark of remarks(marks, marksOf(nowKind))) tell({ kind: "mark", path, ...remark }, was(marks));
  } else if (kind !== nowKind) put();
  else if (isContainer(before) && isContainer(after) && Array.isArray(before) === Array.isArray(after)) {
    compare({ value: before, kinds: old.kinds }, { value: after, kinds: now.kinds }, path, tell);
  } else if (!same(before, after, old.kinds, now.kinds)) put();
}

type Items = Record<string | number, unknown>;

/** Which splices, one after the other, make one text the other. They keep characters whole. */
export function texts(old: string, now: string): { index: number; deleted: number; inserted: string; removed: string }[] {
  if (old === now) return [];
  return between(old, now).map(({ from, to, newFrom, newTo }) => {
    const removed = old.slice(from, to);
    return { index: newFrom, deleted: removed.length, inserted: now.slice(newFrom, newTo), removed };
  });
}

export function kindOf(shown: Shown, at: string | number): Kind | undefined {
  return shown.kinds.get(shown.value)?.get(at);
}

export function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null && !(value instanceof Date) && !(value instanceof Uint8Array);
}

/** Whether two values show the same, texts as texts and counters as counters. */
export function same(a: unknown, b: unknown, kinds: Kinds, otherKinds: Kinds): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (a instanceof Date || b instanceof Date) return a instanceof Date && b instanceof Date && a.getTime() === b.getTime();
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return a instanceof Uint8Array && b instanceof Uint8Array && a.length === b.length && a.every((byte, at) => byte === b[at]);
  }
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  const [kind, otherKind] = [kinds.get(a), otherKinds.get(b)];
  return keys.every(
    (key) =>
      Object.hasOwn(b, key) &&
      sameKind(kind?.get(Array.isArray(a) ? Number(key) : key), otherKind?.get(Array.isArray(b) ? Number(key) : key)) &&
      same((a as Items)[key], (b as Items)[key], kinds, otherKinds),
  );
}

/** Where two sequences differ, in order: fewest steps by Myers' algorithm between what is alike at both ends. If they are too many, as `beyond` says. */
export function hunks(length: number, newLength: number, alike: (at: number, newAt: number) => boolean, beyond?: () => Hunk[]): Hunk[] {
  let head = 0;
  while (head < length && head < newLength && alike(head, head)) head += 1;
  let tail = 0;
  while (tail < length - head && tail < newLength - head && alike(length - 1 - tail, newLength - 1 - tail)) tail += 1;
  const [n, m] = [length - head - tail, newLength - head - tail];
  if (n === 0 && m === 0) return [];
  if (n === 0 || m === 0) return [{ from: head, to: head + n, newFrom: head, newTo: head + m }];
  const trace = search(n, m, (x, y) => alike(head + x, head + y));
  if (!trace) return beyond?.() ?? [{ from: head, to: head + n, newFrom: head, newTo: head + m }];
  const found: Hunk[] = [];
  let [x, y] = [n, m];
  for (let d = trace.length - 1; d > 0; d -= 1) {
    const reached = trace[d - 1] as Int32Array;
    const k = x - y;
    const down = k === -d || (k !== d && at(reached, k - 1, d - 1) < at(reached, k + 1, d - 1));
    const beforeX = at(reached, down ? k + 1 : k - 1, d - 1);
    const beforeY = beforeX - (down ? k + 1 : k - 1);
    const [toX, toY] = down ? [beforeX, beforeY + 1] : [beforeX + 1, beforeY];
    const last = found.at(-1);
    if (last && last.from === head + toX && last.newFrom === head + toY) {
      last.from = head + beforeX;
      last.newFrom = head + beforeY;
    } else found.push({ from: head + beforeX, to: head + toX, newFrom: head + beforeY, newTo: head + toY });
    [x, y] = [beforeX, beforeY];
  }
  return found.reverse();
}

/** How far each diagonal is reached with 0, 1, 2 … steps, until the end is. */
function search(n: number, m: number, alike: (x: number, y: number) => boolean): Int32Array[] | undefined {
  const trace: Int32Array[] = [];
  for (let d = 0; d <= STEPS_MAX; d += 1) {
    const reached = new Int32Array(2 * d + 1);
    const before = trace[d - 1];
    for (let k = -d; k <= d; k += 2) {
      let x = 0;
      if (before) x = k === -d || (k !== d && at(before, k - 1, d - 1) < at(before, k + 1, d - 1)) ? at(before, k + 1, d - 1) : at(before, k - 1, d - 1) + 1;
      while (x < n && x - k < m && alike(x, x - k)) x += 1;
      reached[k + d] = x;
      if (x >= n && x - k >= m) {
        trace.push(reached);
        return trace;
      }
    }
    trace.push(reached);
  }
  return undefined;
}

function at(reached: Int32Array, k: number, d: number): number {
  return k < -d || k > d ? -1 : (reached[k + d] as number);
}
