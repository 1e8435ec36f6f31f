/**
 * The marks of a text as a page sees them, and what edits make of them.
 *
 * Owns their order, in which the same marks are the same list, and how they go along with what is written, as far as a page can tell: at
 * which ends a mark takes in what is inserted, only the engine knows of each one, and says afterwards what it has made of it.
 */

import type { Kind } from "./diff.js";
import type { Edit, Mark, MarkValue, Path } from "./wasm/rejoin.js";

/** From `from` to `to` a mark gets another value, or goes. */
export type Remark = { readonly from: number; readonly to: number; readonly name: string; readonly value: MarkValue | null };

const NONE: readonly Mark[] = Object.freeze([]);

/** Whether it is a text that stands there. */
export function isText(kind: Kind | undefined): boolean {
  return kind === "text" || typeof kind === "object";
}

/** The marks of what stands there. */
export function marksOf(kind: Kind | undefined): readonly Mark[] {
  return typeof kind === "object" ? kind : NONE;
}

/** What a text with these marks is. */
export function textWith(marks: readonly Mark[] = NONE): Kind {
  return marks.length > 0 ? Object.freeze(marks) : "text";
}

/** Whether both are the same, marks too. */
export function sameKind(a: Kind | undefined, b: Kind | undefined): boolean {
  return a === b || (isText(a) && isText(b) && remarks(marksOf(a), marksOf(b)).length === 0);
}

/** Marks once one more is made, or those of its name are taken away there. */
export function remarked(marks: readonly Mark[], { from, to, name, value }: Remark): Mark[] {
  const left = marks.flatMap((mark) => {
    if (mark.name !== name) return [mark];
    return [{ ...mark, to: Math.min(mark.to, from) }, { ...mark, from: Math.max(mark.from, to) }].filter(isLong);
  });
  if (value !== null) left.push({ from, to, name, value });
  return tidy(left);
}

/** Marks after a splice of their text: what is written within one or right behind it is marked too, but behind a link. */
export function moved(marks: readonly Mark[], index: number, deleted: number, inserted: number): Mark[] {
  const end = index + deleted;
  const after = (at: number) => (at <= index ? at : Math.max(at, end) - deleted);
  return tidy(marks.map((mark) => {
    const [from, to] = [after(mark.from), after(mark.to)];
    const grows = to > index || (to === index && from < index && mark.name !== "link");
    return { ...mark, from: from < index || inserted === 0 ? from : from + inserted, to: grows ? to + inserted : to };
  }).filter(isLong));
}

/** It as an edit of the text at a path. */
export function editOf(path: Path, { from, to, name, value }: Remark): Edit {
  return ["mark", path, from, to, name, value];
}

/** What leads from some marks to others. */
export function remarks(marks: readonly Mark[], now: readonly Mark[]): Remark[] {
  if (marks === now) return [];
  const found: Remark[] = [];
  for (const name of new Set([...marks, ...now].map((mark) => mark.name))) {
    const [old, then] = [marks, now].map((list) => list.filter((mark) => mark.name === name)) as [Mark[], Mark[]];
    const edges = [...new Set([...old, ...then].flatMap(({ from, to }) => [from, to]))].sort((a, b) => a - b);
    let [at, nowAt] = [0, 0];
    edges.slice(1).forEach((to, edge) => {
      const from = edges[edge] as number;
      while (at < old.length && (old[at] as Mark).to <= from) at += 1;
      while (nowAt < then.length && (then[nowAt] as Mark).to <= from) nowAt += 1;
      const [was, value] = [valueAt(old[at], from), valueAt(then[nowAt], from)];
      if (isSame(was, value)) return;
      const last = found.at(-1);
      if (last && last.name === name && last.to === from && isSame(last.value, value)) found[found.length - 1] = { ...last, to };
      else found.push({ from, to, name, value });
    });
  }
  return found;
}

/** What a mark of that name says from `from` to `to`, piece by piece; nothing where there is none. */
export function said(marks: readonly Mark[], from: number, to: number, name: string): Remark[] {
  const pieces: Remark[] = [];
  let at = from;
  const add = (until: number, value: MarkValue | null) => {
    if (until > at) pieces.push({ from: at, to: until, name, value });
    at = Math.max(at, until);
  };
  for (const mark of marks) {
    if (mark.name !== name || mark.to <= from || mark.from >= to) continue;
    add(mark.from, null);
    add(Math.min(mark.to, to), mark.value);
  }
  add(to, null);
  return pieces;
}

/** Whether two values of marks are the same. */
export function isSame(a: MarkValue | null, b: MarkValue | null): boolean {
  return Object.is(a, b) || (typeof a === "object" && typeof b === "object" && JSON.stringify(a) === JSON.stringify(b));
}

function valueAt(mark: Mark | undefined, at: number): MarkValue | null {
  return mark && mark.from <= at ? mark.value : null;
}

function isLong({ from, to }: Mark): boolean {
  return from < to;
}

/** By name, and those of one name in order, the same beside each other as one. */
function tidy(marks: Mark[]): Mark[] {
  const sorted = marks.sort((a, b) => (a.name === b.name ? a.from - b.from : a.name < b.name ? -1 : 1));
  const tidied: Mark[] = [];
  for (const mark of sorted) {
    const last = tidied.at(-1);
    if (last && last.name === mark.name && last.to === mark.from && isSame(last.value, mark.value)) tidied[tidied.length - 1] = { ...last, to: mark.to };
    else tidied.push(mark);
  }
  return tidied;
}
