/**
 * Undo and redo of what was changed in this page, whatever others have changed since.
 *
 * Owns what it takes to take a change back: where it was made, by cursors that hold while anybody edits, and what was there before. What
 * others have changed since stays: a key is put back only if it still holds what was put there, and of a text or list only what was
 * inserted here goes. What stands between the pieces of a text that a change has written is not touched. Kept in memory, as long as the page.
 */

import { compare, isContainer, kindOf, type Patch, same, type Shown, type Was } from "./diff.js";
import { OPERATIONS_MAX, operationsOf } from "./limits.js";
import { editOf, isSame as isSameValue, marksOf, moved, remarks, said } from "./marks.js";
import { crossing, kindAt, lookUp } from "./mirror.js";
import { isSame, type Piece, written } from "./pieces.js";
import { codePoints, unitsAfter } from "./values.js";
import type { Edit, Mark, MarkValue, NewValue, Path, Run } from "./wasm/rejoin.js";

/** Most changes that can be undone. */
const ENTRIES_MAX = 200;
/** Typing counts as one change as long as it pauses no longer than this, and goes on no longer than that. */
const PAUSE_MS_MAX = 400;
const BURST_MS_MAX = 2_000;

/** What undo needs of a document. Positions count as those of edits do. */
export type Ground = {
  shown(): Shown;
  cursor(path: Path, index: number): string;
  /** Those of so many elements from one on. */
  cursors(path: Path, index: number, count: number): Run[];
  /** Where the very element of a cursor stands in what is at `path`, if it does. */
  exact(path: Path, cursor: string): number | undefined;
  /** Where a cursor points, as JavaScript counts. */
  position(cursor: string): number | undefined;
  /** Does edits; gives them as pages count. */
  edit(edits: Edit[]): Edit[];
};

/** A key, or an element of a list wherever it has moved. */
type Anchor = string | { cursor: string };

type Step =
  | { kind: "put"; path: Anchor[]; at: Anchor; is: unknown; isGone: boolean; shown: Shown; was: NewValue | undefined }
  | { kind: "increment"; path: Anchor[]; at: Anchor; by: number }
  /** `marks`: those of what is inserted, by units from its begin. */
  | { kind: "splice"; path: Anchor[]; after: string | undefined; remove: Run[]; insert: NewValue[] | string; marks: readonly Mark[] }
  /** From the character of one cursor to that of another. */
  | { kind: "mark"; path: Anchor[]; first: string; last: string; name: string; is: MarkValue | null; was: MarkValue | null };

/** `edits`: those that led from `before` to where the steps lead back from, as pages count. */
type Entry = { steps: Step[]; before: Shown; edits: readonly Edit[]; begunAt: number; endedAt: number; others: number };

/** An edit, and what must be known to do several at once: deeper ones first, and in one place from its end. */
type Placed = { depth: number; at: number; edit: Edit };

export class Undo {
  readonly #ground: Ground;
  readonly #done: Entry[] = [];
  readonly #undone: Entry[] = [];
  /** Changes that came from elsewhere. */
  #others = 0;
  #typing = false;

  constructor(ground: Ground) {
    this.#ground = ground;
  }

  get canUndo(): boolean {
    return this.#done.length > 0;
  }

  get canRedo(): boolean {
    return this.#undone.length > 0;
  }

  /** Something has come from elsewhere. */
  otherChanged(): void {
    this.#others += 1;
  }

  /** The page has changed the document, and nothing has happened since. */
  changed(before: Shown, edits: readonly Edit[], nowMs: number): void {
    const steps = this.#steps(before, edits);
    if (steps.length === 0) return;
    this.#undone.length = 0;
    const last = this.#done.at(-1);
    // It is taken back in one change.
    const fits = last && operationsOf(last.edits) + operationsOf(edits) <= OPERATIONS_MAX;
    if (fits && this.#typing && this.#goesOn(last, steps, nowMs)) {
      last.edits = [...last.edits, ...edits];
      last.steps = this.#steps(last.before, last.edits);
      last.endedAt = nowMs;
    } else this.#push(this.#done, { steps, before, edits, begunAt: nowMs, endedAt: nowMs, others: this.#others });
    this.#typing = true;
  }

  undo(): boolean {
    return this.#take(this.#done, this.#undone);
  }

  redo(): boolean {
    return this.#take(this.#undone, this.#done);
  }

  #goesOn(last: Entry, steps: Step[], nowMs: number): boolean {
    const place = (of: Step[]) => (of.every(isTyping) ? JSON.stringify(of[0]?.path) : undefined);
    const soon = nowMs - last.endedAt <= PAUSE_MS_MAX && nowMs - last.begunAt <= BURST_MS_MAX && last.others === this.#others;
    return soon && place(steps) !== undefined && place(last.steps) === place(steps);
  }

  /** Takes back the last of `from` of which anything is left. */
  #take(from: Entry[], to: Entry[]): boolean {
    this.#typing = false;
    for (let entry = from.pop(); entry; entry = from.pop()) {
      const edits = this.#edits(entry.steps);
      if (edits.length === 0) continue;
      const before = this.#ground.shown();
      const done = this.#ground.edit(edits);
      this.#push(to, { steps: this.#steps(before, done), before, edits: done, begunAt: 0, endedAt: 0, others: this.#others });
      return true;
    }
    return false;
  }

  #push(to: Entry[], entry: Entry): void {
    to.push(entry);
    if (to.length > ENTRIES_MAX) to.shift();
  }

  /** What takes the document back to what it was. */
  #steps(before: Shown, edits: readonly Edit[]): Step[] {
    const steps: Step[] = [];
    const now = this.#ground.shown();
    const texts = written(edits);
    const isMarked = edits.some(([kind]) => kind === "mark");
    compare(before, now, [], (patch, was) => {
      if (patch.kind === "mark") {
        if (isMarked) steps.push(...this.#markSteps(patch, was.value as readonly Mark[], now));
        return;
      }
      const text = patch.kind === "text" ? texts.find(({ path }) => isSame(path, patch.path)) : undefined;
      if (text?.isTold) return;
      const told = text && this.#pieceSteps(text.path, text.pieces, was, before, now);
      if (text && told) text.isTold = true;
      steps.push(...(told ?? [this.#step(patch, was, before, now)]));
    });
    return steps;
  }

  /** Those of a text of which it is known where it was written, last one first; none if the pieces do not lead from what it was to what it is. */
  #pieceSteps(path: Path, pieces: readonly Piece[], place: Was, old: Shown, now: Shown): Step[] | undefined {
    const text = lookUp(now.value, path) as string;
    const before = (place.container as Record<string | number, string>)[place.at] as string;
    const marks = marksOf(kindOf({ value: place.container, kinds: old.kinds }, place.at));
    const parts = pieces.map(({ at, length, was, removed }) => [text.slice(at, at + length), before.slice(was, was + removed)] as const);
    let [led, from] = ["", 0];
    for (const [index, { was, removed }] of pieces.entries()) {
      led += before.slice(from, was) + parts[index]?.[0];
      from = was + removed;
    }
    if (led + before.slice(from) !== text) return undefined;
    const steps: Step[] = [];
    let [index, end] = [0, 0];
    for (const [n, [inserted, removed]] of parts.entries()) {
      const { at, length, was } = pieces[n] as Piece;
      index += codePoints(text.slice(end, at), 0, at - end);
      const count = codePoints(inserted, 0, length);
      if (inserted !== removed) steps.unshift(this.#spliceOf(path, index, count, removed, within(marks, was, was + removed.length)));
      [index, end] = [index + count, at + length];
    }
    return steps;
  }

  /** Those of a mark, in the pieces that said something else before. */
  #markSteps(patch: Extract<Patch, { kind: "mark" }>, before: readonly Mark[], now: Shown): Step[] {
    const { path, from, to, name, value } = patch;
    const text = lookUp(now.value, path) as string;
    const cursor = (at: number) => this.#ground.cursor(path, codePoints(text, 0, at));
    return said(before, from, to, name).map((piece): Step => {
      const last = codePoints(text, 0, piece.to) - 1;
      return { kind: "mark", path: this.#anchors(path), first: cursor(piece.from), last: this.#ground.cursor(path, last), name, is: value, was: piece.value };
    });
  }

  #step(patch: Exclude<Patch, { kind: "mark" }>, was: Was, before: Shown, now: Shown): Step {
    if (patch.kind === "splice" || patch.kind === "text") return this.#spliceStep(patch, was, before, now);
    const [path, at] = [patch.path.slice(0, -1), patch.path.at(-1) as string | number];
    const place = { path: this.#anchors(path), at: this.#anchor(path, at) };
    const kind = kindOf({ value: was.container, kinds: before.kinds }, was.at);
    const counted = patch.kind === "put" && kind === "counter" && this.#counts(now, path, at);
    if (counted) return { kind: "increment", ...place, by: (was.value as number) - (patch.value as number) };
    const value = was.had ? crossing(was.value, kind, before.kinds) : undefined;
    const isGone = patch.kind === "delete";
    return { kind: "put", ...place, is: isGone ? undefined : patch.value, isGone, shown: now, was: value };
  }

  #spliceStep(patch: Extract<Patch, { kind: "splice" | "text" }>, was: Was, before: Shown, now: Shown): Step {
    let [index, count] = [patch.index, patch.inserted.length];
    let insert: NewValue[] | string;
    let marks: readonly Mark[] = [];
    if (patch.kind === "text") {
      const text = lookUp(now.value, patch.path) as string;
      index = codePoints(text, 0, patch.index);
      count = codePoints(patch.inserted, 0, patch.inserted.length);
      insert = was.value as string;
      // In one splice, what went stood where it is now.
      marks = within(marksOf(kindOf({ value: was.container, kinds: before.kinds }, was.at)), patch.index, patch.index + insert.length);
    } else {
      const kind = (offset: number) => kindOf({ value: was.container, kinds: before.kinds }, (was.at as number) + offset);
      insert = (was.value as unknown[]).map((item, offset) => crossing(item, kind(offset), before.kinds));
    }
    return this.#spliceOf(patch.path, index, count, insert, marks);
  }

  #spliceOf(path: Path, index: number, count: number, insert: NewValue[] | string, marks: readonly Mark[]): Step {
    const after = index > 0 ? this.#ground.cursor(path, index - 1) : undefined;
    return { kind: "splice", path: this.#anchors(path), after, remove: this.#ground.cursors(path, index, count), insert, marks };
  }

  #counts(shown: Shown, path: Path, at: string | number): boolean {
    return kindOf({ value: lookUp(shown.value, path) as object, kinds: shown.kinds }, at) === "counter";
  }

  #anchors(path: Path): Anchor[] {
    return path.map((at, depth) => this.#anchor(path.slice(0, depth), at));
  }

  #anchor(path: Path, at: string | number): Anchor {
    return typeof at === "string" ? at : { cursor: this.#ground.cursor(path, at) };
  }

  /** The edits that take steps back as the document is now; what others have taken away or changed since is left out. */
  #edits(steps: Step[]): Edit[] {
    const placed = steps.flatMap((step) => this.#placed(step));
    placed.sort((a, b) => b.depth - a.depth || (a.at === b.at ? 0 : b.at - a.at));
    return placed.map(({ edit }) => edit);
  }

  #placed(step: Step): Placed[] {
    const path: Path = [];
    for (const anchor of step.path) {
      const at = this.#resolve(path, anchor);
      if (at === undefined) return [];
      path.push(at);
    }
    const shown = this.#ground.shown();
    const container = lookUp(shown.value, path);
    if (step.kind === "splice") return this.#placedSplice(step, path, container);
    if (step.kind === "mark") return this.#placedMark(step, path, container);
    const at = isContainer(container) ? this.#resolve(path, step.at) : undefined;
    if (at === undefined) return [];
    const depth = path.length;
    if (step.kind === "increment") {
      return this.#counts(shown, path, at) ? [{ depth, at: Infinity, edit: ["increment", path, at, step.by] }] : [];
    }
    const stands = Object.hasOwn(container as object, at);
    if (stands === step.isGone) return [];
    if (stands && !same((container as Record<string | number, unknown>)[at], step.is, shown.kinds, step.shown.kinds)) return [];
    if (step.was !== undefined) return [{ depth, at: Infinity, edit: ["put", path, at, step.was] }];
    return typeof at === "string" ? [{ depth, at: Infinity, edit: ["delete", path, at] }] : [];
  }

  #placedSplice(step: Extract<Step, { kind: "splice" }>, path: Path, container: unknown): Placed[] {
    const isText = typeof step.insert === "string";
    if (isText ? typeof container !== "string" : !Array.isArray(container)) return [];
    const spots = step.remove.flatMap((run) => this.#spots(path, run));
    spots.sort((a, b) => b - a);
    const insertAt = step.insert.length > 0 ? this.#insertAt(step.after, path, container as string | unknown[]) : undefined;
    const place = (at: number, count: number, insert: NewValue[] | string): Placed => ({
      depth: path.length,
      at,
      edit: typeof insert === "string" ? ["text", path, at, count, insert] : ["splice", path, at, count, insert],
    });
    const nothing = isText ? "" : [];
    const placed: Placed[] = [];
    for (let index = 0; index < spots.length; ) {
      let [at, count] = [spots[index] as number, 1];
      // A run ends where something is to be inserted.
      while (at !== insertAt && spots[index + count] === at - 1) [at, count] = [at - 1, count + 1];
      placed.push(place(at, count, nothing));
      index += count;
    }
    if (insertAt === undefined) return placed;
    placed.push(place(insertAt, 0, step.insert));
    if (isText) placed.push(...this.#again(step.marks, path, container as string, insertAt, step.insert as string));
    return placed;
  }

  /** What has to be said of a text that is inserted, so that its marks are what they were. */
  #again(marks: readonly Mark[], path: Path, text: string, at: number, insert: string): Placed[] {
    const unit = unitsAfter(text, 0, at);
    const taken = within(moved(marksOf(kindAt(this.#ground.shown(), path)), unit, 0, insert.length), unit, unit + insert.length);
    const place = (offset: number) => at + codePoints(insert, 0, offset);
    return remarks(taken, marks).map((remark) => ({
      depth: path.length,
      at,
      edit: editOf(path, { ...remark, from: place(remark.from), to: place(remark.to) }),
    }));
  }

  #placedMark({ first, last, name, is, was }: Extract<Step, { kind: "mark" }>, path: Path, container: unknown): Placed[] {
    const [from, end] = [this.#ground.position(first), this.#ground.position(last)];
    if (typeof container !== "string" || from === undefined || end === undefined) return [];
    const to = this.#ground.exact(path, last) === undefined ? end : unitsAfter(container, end, 1);
    const pieces = said(marksOf(kindAt(this.#ground.shown(), path)), from, to, name).filter(({ value }) => isSameValue(value, is));
    const place = (unit: number) => codePoints(container, 0, unit);
    // Before the text is another.
    return pieces.map((piece) => ({
      depth: path.length,
      at: Infinity,
      edit: editOf(path, { from: place(piece.from), to: place(piece.to), name, value: was }),
    }));
  }

  /** Where those of a run stand that are left. */
  #spots(path: Path, [first, count]: Run): number[] {
    const at = this.#ground.exact(path, first);
    const isWhole = () => {
      const room = at !== undefined && at + count <= this.#length(path);
      const [run] = room ? this.#ground.cursors(path, at, count) : [];
      return run?.[0] === first && run[1] === count;
    };
    if (count > 1 && isWhole()) return Array.from({ length: count }, (_, offset) => (at as number) + offset);
    const others = Array.from({ length: count - 1 }, (_, offset) => this.#ground.exact(path, after(first, offset + 1)));
    return [at, ...others].filter((spot) => spot !== undefined);
  }

  #length(path: Path): number {
    const container = lookUp(this.#ground.shown().value, path) as string | readonly unknown[];
    return typeof container === "string" ? codePoints(container, 0, container.length) : container.length;
  }

  /** Behind what stood before it; where that is gone, as near to it as can be. */
  #insertAt(after: string | undefined, path: Path, container: string | readonly unknown[]): number {
    if (after === undefined) return 0;
    const exact = this.#ground.exact(path, after);
    if (exact !== undefined) return exact + 1;
    const near = Math.min(this.#ground.position(after) ?? 0, container.length);
    return typeof container === "string" ? codePoints(container, 0, near) : near;
  }

  #resolve(path: Path, anchor: Anchor): string | number | undefined {
    return typeof anchor === "string" ? anchor : this.#ground.exact(path, anchor.cursor);
  }
}

/** The cursor of the element that was written so many operations after that of a cursor, in the same place. */
function after(cursor: string, operations: number): string {
  return cursor.replace(/\/(\d+)@/, (_, operation: string) => `/${Number(operation) + operations}@`);
}

/** The marks from one place to another, by units from there. */
function within(marks: readonly Mark[], from: number, to: number): Mark[] {
  const cut = marks.map((mark) => ({ ...mark, from: Math.max(mark.from, from) - from, to: Math.min(mark.to, to) - from }));
  return cut.filter((mark) => mark.from < mark.to);
}

function isTyping(step: Step): boolean {
  return step.kind === "splice" && typeof step.insert === "string";
}
