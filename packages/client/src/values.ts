/** What a document can hold, as its user declares, reads and writes it. */

import { RejoinError } from "./errors.js";
import { moved, type Remark, remarked } from "./marks.js";
import type { Expand, Mark, MarkValue, NewValue } from "./wasm/rejoin.js";

/** Deepest nesting of a value; the engine allows as many objects below the root. */
const DEPTH_MAX = 100;

/** Where an edit of a text or counter that belongs to a document goes. */
export type TextSink = {
  splice(index: number, deleteCount: number, insert: string): void;
  remark(remark: Remark, expand: Expand | undefined): void;
};
export type CounterSink = { increment(by: number): void };

/** How a mark is made. */
export type MarkOptions = {
  /** At which of its ends a mark takes in what is inserted there: `"after"` if not given, and `"none"` for a mark of the name `link`. */
  expand?: Expand;
};

/**
 * Text that several people can edit at once. Read, it is a plain `string`; in a draft, edit it in place. A new one is put into a
 * document by assigning it. Positions count UTF-16 units, as those of strings do; one within a character moves to its edge.
 */
export class Text {
  #text: string;
  #marks: readonly Mark[] = [];
  #sink: TextSink | undefined;

  constructor(text = "") {
    this.#text = text.toWellFormed();
  }

  /** @internal A text in a document. */
  static bound(text: string, marks: readonly Mark[], sink?: TextSink): Text {
    const bound = new Text(text);
    bound.#marks = marks;
    bound.#sink = sink;
    return bound;
  }

  get length(): number {
    return this.#text.length;
  }

  /** What is said of ranges of it, by name and in order. Outside of a draft, `SyncDocument.marks` tells those of a text. */
  get marks(): readonly Mark[] {
    return this.#marks;
  }

  toString(): string {
    return this.#text;
  }

  toJSON(): string {
    return this.#text;
  }

  /** Removes `deleteCount` units at `index` and inserts `insert` there. */
  splice(index: number, deleteCount: number, insert = ""): void {
    const whole = Number.isInteger(index) && Number.isInteger(deleteCount);
    if (!whole || index < 0 || deleteCount < 0 || index + deleteCount > this.#text.length) {
      throw new RejoinError("bad-value", `no characters ${index} to ${index + deleteCount} in a text of ${this.#text.length}`);
    }
    const start = isWithin(this.#text, index) ? index - 1 : index;
    let end = index + deleteCount;
    if (deleteCount === 0) end = start;
    else if (isWithin(this.#text, end)) end += 1;
    const inserted = insert.toWellFormed();
    if (start === end && inserted === "") return;
    this.#sink?.splice(start, end - start, inserted);
    this.#text = this.#text.slice(0, start) + inserted + this.#text.slice(end);
    this.#marks = moved(this.#marks, start, end - start, inserted.length);
  }

  /**
   * Says something of the characters from `from` to before `to`, such as `mark(0, 5, "bold", true)` or `mark(0, 5, "link", address)`, in
   * place of what a mark of that name has said there. What anybody writes within is marked too.
   */
  mark(from: number, to: number, name: string, value: MarkValue, options: MarkOptions = {}): void {
    if (!isMarkValue(value)) throw new RejoinError("bad-value", `the mark ${name}: only a value without parts can be kept`);
    this.#remark({ from, to, name: name.toWellFormed(), value: typeof value === "string" ? value.toWellFormed() : value }, options.expand);
  }

  /** Takes away what marks of that name say of the characters from `from` to before `to`. */
  unmark(from: number, to: number, name: string): void {
    this.#remark({ from, to, name: name.toWellFormed(), value: null }, undefined);
  }

  #remark({ from, to, name, value }: Remark, expand: Expand | undefined): void {
    const whole = Number.isInteger(from) && Number.isInteger(to);
    if (!whole || from < 0 || from > to || to > this.#text.length) {
      throw new RejoinError("bad-value", `no characters ${from} to ${to} in a text of ${this.#text.length}`);
    }
    if (name === "") throw new RejoinError("bad-value", "a mark has a name");
    if (from === to) return;
    const remark = { from: isWithin(this.#text, from) ? from - 1 : from, to: isWithin(this.#text, to) ? to + 1 : to, name, value };
    this.#sink?.remark(remark, expand);
    this.#marks = remarked(this.#marks, remark);
  }

  /** Inserts at `index`. */
  insert(index: number, text: string): void {
    this.splice(index, 0, text);
  }

  /** Removes `count` units at `index`. */
  delete(index: number, count = 1): void {
    this.splice(index, count);
  }

  /** Makes the text `text` by one splice of what differs, as a text field needs it. */
  update(text: string): void {
    const old = this.#text;
    const shorter = Math.min(old.length, text.length);
    let head = 0;
    while (head < shorter && old[head] === text[head]) head += 1;
    if (isWithin(old, head) || isWithin(text, head)) head -= 1;
    let tail = 0;
    while (tail < shorter - head && old[old.length - 1 - tail] === text[text.length - 1 - tail]) tail += 1;
    if (isWithin(old, old.length - tail) || isWithin(text, text.length - tail)) tail -= 1;
    this.splice(head, old.length - tail - head, text.slice(head, text.length - tail));
  }
}

/** A number that several people can move at once: their steps add up. Read, it is a plain `number`. */
export class Counter {
  #value: number;
  #sink: CounterSink | undefined;

  constructor(value = 0) {
    this.#value = whole(value);
  }

  /** @internal A counter in a document. */
  static bound(value: number, sink: CounterSink): Counter {
    const bound = new Counter(value);
    bound.#sink = sink;
    return bound;
  }

  get value(): number {
    return this.#value;
  }

  toJSON(): number {
    return this.#value;
  }

  /** Moves the counter up. */
  increment(by = 1): void {
    whole(by);
    if (by === 0) return;
    this.#sink?.increment(by);
    this.#value += by;
  }

  /** Moves the counter down. */
  decrement(by = 1): void {
    this.increment(-whole(by));
  }
}

/** What is read of a document of type `T`: texts are strings, counters numbers, and nothing can be written. */
export type Value<T> = T extends Text
  ? string
  : T extends Counter
    ? number
    : T extends string | number | bigint | boolean | null | undefined | Date | Uint8Array
      ? T
      : T extends readonly (infer Item)[]
        ? readonly Value<Item>[]
        : { readonly [Key in keyof T]: Value<T[Key]> };

/** A value in the form in which the engine takes it. */
export function encode(value: unknown, place: string, depth = 0): NewValue {
  const bad = (what: string) => new RejoinError("bad-value", `${place}: ${what}`);
  if (depth > DEPTH_MAX) throw bad("nested too deeply, or within itself");
  switch (typeof value) {
    case "string":
      return value.toWellFormed();
    case "number":
    case "boolean":
    case "bigint":
      return value;
    case "undefined":
      throw bad("undefined can't be kept; use null, or delete the key");
    case "object":
      break;
    default:
      throw bad(`a ${typeof value} can't be kept`);
  }
  if (value === null) return value;
  // Of bytes and dates who gave them may make something else.
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw bad("this is no valid date");
    return new Date(value);
  }
  if (value instanceof Text) return { text: value.toString(), ...(value.marks.length > 0 && { marks: value.marks }) };
  if (value instanceof Counter) return { counter: value.value };
  if (Array.isArray(value)) return { list: value.map((item, index) => encode(item, `${place}[${index}]`, depth + 1)) };
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw bad("only plain objects, arrays, Date, Uint8Array, Text and Counter can be kept");
  }
  return { map: Object.entries(value).map(([key, item]) => [key, encode(item, `${place}.${key}`, depth + 1)]) };
}

function isMarkValue(value: unknown): boolean {
  if (value instanceof Date) return !Number.isNaN(value.getTime());
  return value instanceof Uint8Array || ["string", "number", "boolean", "bigint"].includes(typeof value);
}

function whole(number: number): number {
  if (!Number.isSafeInteger(number)) throw new RejoinError("bad-value", "a counter holds and moves by whole numbers");
  return number;
}

/** Whether `index` stands between the two halves of a character outside the basic plane. */
export function isWithin(text: string, index: number): boolean {
  const [before, after] = [text.charCodeAt(index - 1), text.charCodeAt(index)];
  return before >= 0xd800 && before < 0xdc00 && after >= 0xdc00 && after < 0xe000;
}

/** Whether each unit of a text is a character. */
function isPlain(text: string): boolean {
  return !/[\ud800-\udfff]/.test(text);
}

/** How many characters begin from one position to another. */
export function codePoints(text: string, from: number, to: number): number {
  if (isPlain(text)) return to - from;
  let count = 0;
  for (let index = from; index < to; index += 1) {
    if (!isWithin(text, index)) count += 1;
  }
  return count;
}

/** The position that is so many characters after another one; beyond the text as many units. */
export function unitsAfter(text: string, from: number, characters: number): number {
  if (isPlain(text)) return from + characters;
  let index = from;
  for (let left = characters; left > 0; left -= 1) index += isWithin(text, index + 1) ? 2 : 1;
  return index;
}
