/**
 * Edits that were made beside each other, each as it is after the other: how a page's edits meet what has come meanwhile.
 *
 * Owns where positions go. Page and worker do the same with the same edits, and so agree on every place. Positions count as pages do.
 * What stands in something that is gone goes with it; at one position what has come stands before what the page wrote.
 */

import type { Edit, NewValue, Path } from "./wasm/rejoin.js";

/** The page's edits as they are after those that have come, and those as they are after the page's. */
export function rebase(own: readonly Edit[], come: readonly Edit[]): [own: Edit[], come: Edit[]] {
  let across = [...come];
  const rebased = own.flatMap((edit) => {
    const [after, next] = rebaseOne(edit, across);
    across = next;
    return after;
  });
  return [rebased, across];
}

/** How many of some edits bring something: as many once they are rebased, unless what one was made in is gone. */
export function bringing(edits: readonly Edit[]): number {
  const isAdded = (edit: Edit) => edit[0] === "put" || edit[0] === "increment" || (edit[0] !== "delete" && edit[4].length > 0);
  return edits.filter(isAdded).length;
}

/** One edit of the page beside many that have come. */
function rebaseOne(own: Edit, come: readonly Edit[]): [own: Edit[], come: Edit[]] {
  let pieces = [own];
  const across: Edit[] = [];
  for (const edit of come) {
    const [only] = pieces;
    if (!only) across.push(edit);
    else if (pieces.length === 1) {
      pieces = after(only, edit, false);
      across.push(...after(edit, only, true));
    } else {
      const [next, beside] = rebase(pieces, [edit]);
      pieces = next;
      across.push(...beside);
    }
  }
  return [pieces, across];
}

/** `edit` as it is once `other` is done; `first` says whether it stands before it where both insert at one place. */
export function after(edit: Edit, other: Edit, first: boolean): Edit[] {
  const [otherPath, path] = [other[1], edit[1]];
  if (otherPath.length > path.length || !otherPath.every((step, depth) => step === path[depth])) return [edit];
  if (otherPath.length === path.length) return beside(edit, other, first);
  const step = path[otherPath.length] as string | number;
  switch (other[0]) {
    case "put":
    case "delete":
      return other[2] === step ? [] : [edit];
    case "splice": {
      const moved = typeof step === "number" ? movedBy(step, other) : undefined;
      return moved === undefined ? [] : [withPath(edit, [...path.slice(0, otherPath.length), moved, ...path.slice(otherPath.length + 1)])];
    }
    default:
      return [edit];
  }
}

/** Both in one container, or in one text. */
function beside(edit: Edit, other: Edit, first: boolean): Edit[] {
  if (other[0] === "mark") return [edit];
  if (other[0] === "text") return edit[0] === "text" ? splices(edit, other, first) : edit[0] === "mark" ? marking(edit, other) : [edit];
  if (other[0] === "splice") {
    if (edit[0] === "splice") return splices(edit, other, first);
    if (edit[0] !== "put" && edit[0] !== "increment") return [];
    const moved = typeof edit[2] === "number" ? movedBy(edit[2], other) : undefined;
    return moved === undefined ? [] : [edit[0] === "put" ? ["put", edit[1], moved, edit[3]] : ["increment", edit[1], moved, edit[3]]];
  }
  if (edit[0] === "splice" || edit[0] === "text" || edit[0] === "mark" || edit[2] !== other[2]) return [edit];
  if (other[0] === "increment") {
    if (!first || edit[0] !== "put" || !isCounter(edit[3])) return [edit];
    return [["put", edit[1], edit[2], { counter: edit[3].counter + other[3] }]];
  }
  if (edit[0] === "increment") return !first && other[0] === "put" && isCounter(other[3]) ? [edit] : [];
  // What the page did at a place stands over what has come there.
  return first || (edit[0] === "delete" && other[0] === "delete") ? [] : [edit];
}

/** Whether a value is a new counter. */
export function isCounter(value: NewValue): value is { counter: number } {
  return typeof value === "object" && value !== null && "counter" in value;
}

/** Where an element of a list stands after a splice; `undefined` if it is gone. */
function movedBy(index: number, [, , from, count, insert]: Extract<Edit, ["splice", ...unknown[]]>): number | undefined {
  if (index < from) return index;
  return index < from + count ? undefined : index - count + insert.length;
}

type Splice = Extract<Edit, ["splice" | "text", ...unknown[]]>;

/** A splice of a list or text after another one of the same. */
function splices(edit: Splice, other: Splice, first: boolean): Edit[] {
  const [, , index, count, insert] = edit;
  const [, , from, gone, { length: came }] = other;
  const made = (at: number, deleted: number, inserted: string | NewValue[]): Edit[] =>
    deleted === 0 && inserted.length === 0 ? [] : [spliceOf(edit, at, deleted, inserted)];
  const none = edit[0] === "text" ? "" : [];
  const left = Math.max(Math.min(index + count, from) - index, 0);
  const rightFrom = Math.max(index, from + gone);
  const right = Math.max(index + count - rightFrom, 0);
  const rightAt = rightFrom - gone + came;
  if (left > 0) {
    if (right === 0 || came === 0) return made(index, left + right, insert);
    return [...made(index, left, insert), ...made(rightAt - left + insert.length, right, none)];
  }
  if (index < from) return made(index, 0, insert);
  if (!first || index !== from || came === 0 || insert.length === 0) return made(rightAt, right, insert);
  return [...made(index, 0, insert), ...made(rightAt + insert.length, right, none)];
}

/** A mark after a splice of its text: what was written within it is marked too. */
function marking(edit: Extract<Edit, ["mark", ...unknown[]]>, [, , index, deleted, inserted]: Extract<Edit, ["text", ...unknown[]]>): Edit[] {
  const [, path, from, to, name, value, expand] = edit;
  const after = (at: number) => (at <= index ? at : Math.max(at - deleted, index));
  const [start, end] = [after(from), after(to)];
  if (start === end) return [];
  const [before, grows] = [start < index, end > index];
  return [["mark", path, before ? start : start + inserted.length, grows ? end + inserted.length : end, name, value, expand]];
}

function spliceOf(edit: Splice, at: number, deleted: number, inserted: string | NewValue[]): Edit {
  return edit[0] === "text" ? ["text", edit[1], at, deleted, inserted as string] : ["splice", edit[1], at, deleted, inserted as NewValue[]];
}

function withPath(edit: Edit, path: Path): Edit {
  const moved = [...edit] as Edit;
  moved[1] = path;
  return moved;
}
