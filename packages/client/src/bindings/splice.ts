/**
 * Splices of texts, as editors and documents exchange them: finding the one that was typed, and moving places and splices past others.
 *
 * Owns positions in UTF-16 units, and that no splice cuts a character in two. Knows neither documents nor editors.
 */

import type { Patch } from "../diff.js";
import type { Path } from "../wasm/rejoin.js";

/** At `index`, `deleted` units go and `inserted` comes. */
export type Splice = { readonly index: number; readonly deleted: number; readonly inserted: string };

/** `text` after splices, one after the other. Those that go from its beginning to its end cost one pass, however many they are. */
export function spliced(text: string, splices: readonly Splice[]): string {
  let [done, rest] = ["", text];
  for (const { index, deleted, inserted } of splices) {
    if (index < done.length) [done, rest] = ["", done + rest];
    const from = index - done.length;
    done += rest.slice(0, from) + inserted;
    rest = rest.slice(from + deleted);
  }
  return done + rest;
}

/**
 * The smallest splice that leads from `old` to `now`; none if they are the same. `caret`: where the caret stands behind it, which tells
 * which of several equal letters was typed.
 */
export function spliceBetween(old: string, now: string, caret = now.length): Splice | undefined {
  if (old === now) return undefined;
  const shorter = Math.min(old.length, now.length);
  let tail = 0;
  while (tail < Math.min(shorter, now.length - caret) && old[old.length - 1 - tail] === now[now.length - 1 - tail]) tail += 1;
  let head = 0;
  while (head < shorter - tail && old[head] === now[head]) head += 1;
  while (tail < shorter - head && old[old.length - 1 - tail] === now[now.length - 1 - tail]) tail += 1;
  if (isWithin(old, head) || isWithin(now, head)) head -= 1;
  if (isWithin(old, old.length - tail) || isWithin(now, now.length - tail)) tail -= 1;
  return { index: head, deleted: old.length - tail - head, inserted: now.slice(head, now.length - tail) };
}

/** Where a place stands after a splice; `before`: one at which something is inserted stays before it. */
export function moved(at: number, { index, deleted, inserted }: Splice, before = true): number {
  if (at < index || (at === index && before)) return at;
  return at >= index + deleted ? at + inserted.length - deleted : index + inserted.length;
}

/** A splice of a text as splices of what others have made of that text meanwhile: what they have inserted in between stays. */
export function rebased(own: Splice, others: readonly Splice[]): Splice[] {
  const stands = (at: number) => {
    for (const other of others) {
      if (at >= other.index && at < other.index + other.deleted) return undefined;
      at = moved(at, other, false);
    }
    return at;
  };
  const runs: Splice[] = [];
  for (let unit = own.index + own.deleted - 1; unit >= own.index; unit -= 1) {
    const at = stands(unit);
    const last = runs.at(-1);
    if (at === undefined) continue;
    if (last && last.index === at + 1) runs[runs.length - 1] = { index: at, deleted: last.deleted + 1, inserted: "" };
    else runs.push({ index: at, deleted: 1, inserted: "" });
  }
  if (own.inserted === "") return runs;
  // All that goes stood behind the place of what comes, so that its place holds.
  const index = others.reduce((at, other) => moved(at, other), own.index);
  const last = runs.at(-1);
  if (last?.index === index) runs[runs.length - 1] = { ...last, inserted: own.inserted };
  else runs.push({ index, deleted: 0, inserted: own.inserted });
  return runs;
}

/** The splices of the text at `path` among patches that lead from `old` to `now`; what differs at once if they do not tell. */
export function splicesOf(patches: readonly Patch[], path: Path, old: string, now: string): Splice[] {
  const told: Splice[] = patches.filter((patch) => patch.kind === "text").filter((patch) => samePath(patch.path, path));
  if (told.length > 0 && spliced(old, told) === now) return told;
  const whole = spliceBetween(old, now);
  return whole ? [whole] : [];
}

/** The text at `path` of a value; nothing if there is none. */
export function textAt(value: unknown, path: Path | undefined): string | undefined {
  if (!path) return undefined;
  let at = value;
  for (const step of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, step)) return undefined;
    at = (at as Record<string | number, unknown>)[step];
  }
  return typeof at === "string" ? at : undefined;
}

export function samePath(a: Path, b: Path): boolean {
  return a.length === b.length && a.every((step, index) => step === b[index]);
}

/** Whether `index` stands between the two halves of a character outside the basic plane. */
function isWithin(text: string, index: number): boolean {
  const [before, after] = [text.charCodeAt(index - 1), text.charCodeAt(index)];
  return before >= 0xd800 && before < 0xdc00 && after >= 0xdc00 && after < 0xe000;
}
