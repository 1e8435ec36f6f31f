/**
 * Which pieces of a text edits have written: each was something else before, and what stands between them was not touched.
 *
 * Owns how edits, one after the other, come together as pieces. Positions count as pages do. Knows no values: whoever has the text before
 * and after looks whether the pieces lead from one to the other.
 */

import { after } from "./rebase.js";
import type { Edit, Path } from "./wasm/rejoin.js";

/** `length` units from `at` on, where `removed` units from `was` on stood before. */
export type Piece = { at: number; length: number; was: number; removed: number };

/** A text by where it stands now, and its pieces in order. */
export type Written = { path: Path; pieces: Piece[]; isTold: boolean };

/** The texts that edits have written in or marked. One that was put as a whole since is none of them. */
export function written(edits: readonly Edit[]): Written[] {
  let texts: Written[] = [];
  for (const edit of edits) {
    if (edit[0] !== "text" && edit[0] !== "mark") {
      // What stands in something that is gone goes with it.
      texts = texts.flatMap((text) => after(["text", text.path, 0, 0, ""], edit, false).map(([, path]) => ({ ...text, path })));
      continue;
    }
    let text = texts.find(({ path }) => isSame(path, edit[1]));
    if (!text) texts.push((text = { path: edit[1], pieces: [], isTold: false }));
    if (edit[0] === "text") splice(text.pieces, edit[2], edit[3], edit[4].length);
  }
  return texts;
}

/** One more splice: the pieces that it touches are one with it. */
function splice(pieces: Piece[], index: number, deleted: number, inserted: number): void {
  const end = index + deleted;
  let behind = pieces.length;
  for (let piece = pieces[behind - 1]; piece && piece.at > end; piece = pieces[behind - 1]) {
    piece.at += inserted - deleted;
    behind -= 1;
  }
  const touched: Piece[] = [];
  let before = pieces[behind - 1];
  while (before && before.at + before.length >= index) {
    touched.unshift(before);
    before = pieces[behind - touched.length - 1];
  }
  const [first, last] = [touched[0], touched.at(-1)];
  const at = Math.min(index, first?.at ?? index);
  const to = Math.max(end, last ? last.at + last.length : end);
  const grown = touched.reduce((sum, { length, removed }) => sum + length - removed, 0);
  const was = before ? at - (before.at + before.length) + before.was + before.removed : at;
  const one = { at, length: to - at - deleted + inserted, was, removed: to - at - grown };
  pieces.splice(behind - touched.length, touched.length, one);
}

/** Whether two paths are the same. */
export function isSame(a: Path, b: Path): boolean {
  return a.length === b.length && a.every((step, depth) => step === b[depth]);
}
