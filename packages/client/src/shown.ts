/** A document's value and marks as the engine shows them, and whether there is anything in it. Decides nothing of what a page is shown. */

import type { Kind, Kinds, Shown } from "./diff.js";
import { editOf, marksOf, remarks } from "./marks.js";
import { differences, kindAt, nothing, withInit } from "./mirror.js";
import { written } from "./pieces.js";
import type { InitKey } from "./wire.js";
import type { Edit, Mark, Path, Special } from "./wasm/rejoin.js";

/** A value that the engine shows. */
export function shownBy(show: (special: Special) => unknown): Shown | undefined {
  const kinds: Kinds = new WeakMap();
  const value = show((container, key, kind) => {
    const known = kinds.get(container) ?? new Map<string | number, Kind>();
    kinds.set(container, known.set(key, kind));
  });
  return value === undefined ? undefined : { value: value as object, kinds };
}

/** Whether a value is as on a device that has written nothing: at most root keys that every device creates alike. */
export function isBare(shown: Shown, init: readonly InitKey[]): boolean {
  return differences(withInit(nothing(), init), withInit(shown, init)).length === 0;
}

/** What leads from the marks that are shown of texts that edits have written in to those that they have. */
export function marksAfter(shown: Shown, edits: readonly Edit[], marks: (path: Path) => readonly Mark[] | undefined): Edit[] {
  const isMarking = edits.some(([kind]) => kind === "mark");
  return written(edits).flatMap(({ path }) => {
    const held = marksOf(kindAt(shown, path));
    return held.length === 0 && !isMarking ? [] : remarks(held, marks(path) ?? []).map((remark) => editOf(path, remark));
  });
}
