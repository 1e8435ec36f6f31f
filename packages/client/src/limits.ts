/** The engine's bounds of one change, and the key that is its own, so that a page is told at once what the engine would refuse a moment later. */

import { RejoinError } from "./errors.js";
import { codePoints } from "./values.js";
import type { Edit, NewValue, Path } from "./wasm/rejoin.js";

/** Most changes that the outbox takes. */
export const OUTBOX_CHANGES_MAX = 100_000;
/** Most operations in one change. */
export const OPERATIONS_MAX = 200_000;
/** Longest key, and longest value, in bytes. */
const KEY_BYTES_MAX = 1_024;
const VALUE_BYTES_MAX = 2 << 20;
/** Deepest nesting of objects below the root. */
const DEPTH_MAX = 100;

/** Longest name of an author, in bytes. */
const AUTHOR_BYTES_MAX = 256;

/** The root key that is the engine's own. */
const RESERVED_KEY = "$settled";

/** Throws if this is no author. */
export function checkAuthor(author: string | undefined): void {
  if (author === undefined) return;
  const bytes = typeof author === "string" ? new TextEncoder().encode(author).length : 0;
  if (bytes === 0 || bytes > AUTHOR_BYTES_MAX) throw new RejoinError("bad-author", `an author is a name of 1 to ${AUTHOR_BYTES_MAX} bytes`);
}

/** How many operations edits are. Throws if they are more than one change may be, or write where only the engine does. */
export function checkEdits(edits: readonly Edit[]): number {
  for (const edit of edits) {
    if ((edit[1].length > 0 ? edit[1][0] : edit[2]) === RESERVED_KEY) {
      throw new RejoinError("reserved-key", `the root key ${RESERVED_KEY} is the engine's own`);
    }
  }
  const operations = operationsOf(edits);
  if (operations > OPERATIONS_MAX) throw refused(`one change has at most ${OPERATIONS_MAX} operations`);
  return operations;
}

/** How many operations edits are at most. Throws if one of them can't be. */
export function operationsOf(edits: readonly Edit[]): number {
  return edits.reduce((sum, edit) => sum + size(edit), 0);
}

function size(edit: Edit): number {
  switch (edit[0]) {
    case "put":
      if (typeof edit[2] === "string") checkKey(edit[2]);
      return sizeOf(edit[3], edit[1]);
    case "splice":
      return edit[3] + edit[4].reduce<number>((sum, value) => sum + sizeOf(value, edit[1]), 0);
    case "text":
      return edit[3] + codePoints(edit[4], 0, edit[4].length);
    case "mark":
      checkKey(edit[4]);
      return 1 + sizeOf(edit[5], edit[1]);
    default:
      return 1;
  }
}

function sizeOf(value: NewValue, path: Path, depth = 1): number {
  if (typeof value === "string") {
    // No text takes more than three bytes a unit.
    if (value.length * 3 > VALUE_BYTES_MAX && bytes(value) > VALUE_BYTES_MAX) throw refused("the string is too long: use a Text");
    return 1;
  }
  if (value instanceof Uint8Array && value.length > VALUE_BYTES_MAX) throw refused("these are too many bytes for one value");
  if (typeof value !== "object" || value === null || value instanceof Date || value instanceof Uint8Array || "counter" in value) return 1;
  if (path.length + depth > DEPTH_MAX) throw refused("nested too deeply");
  if ("text" in value) return 1 + codePoints(value.text, 0, value.text.length) + 2 * (value.marks?.length ?? 0);
  if ("list" in value) return value.list.reduce<number>((sum, item) => sum + sizeOf(item, path, depth + 1), 1);
  return value.map.reduce<number>((sum, [key, item]) => {
    checkKey(key);
    return sum + sizeOf(item, path, depth + 1);
  }, 1);
}

function checkKey(key: string): void {
  if (key.length * 3 > KEY_BYTES_MAX && bytes(key) > KEY_BYTES_MAX) throw refused(`a key has at most ${KEY_BYTES_MAX} bytes`);
}

function bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

function refused(message: string): RejoinError {
  return new RejoinError("refused", message);
}
