/**
 * A document's value as plain frozen data, and edits done on it: what stays the same is shared between a value and the next.
 *
 * Owns how values cross between page and worker, and what an edit makes of them. The engine is asked nothing: its edits and those of a page
 * are the same, but that its positions in texts count code points, where those of pages count UTF-16 units.
 */

import { compare, isContainer, type Kind, type Kinds, kindOf, type Shown } from "./diff.js";
import { editOf, isText, marksOf, moved, type Remark, remarked, textWith } from "./marks.js";
import { isSame } from "./pieces.js";
import { isCounter, rebase } from "./rebase.js";
import { codePoints, unitsAfter } from "./values.js";
import type { InitKey } from "./wire.js";
import type { Edit, Mark, NewValue, Path } from "./wasm/rejoin.js";

type Items = Record<string | number, unknown>;

/** The value of a document that holds nothing. */
export function nothing(): Shown {
  return { value: Object.freeze({}), kinds: new WeakMap() };
}

/** A value that crossed from the other side. */
export function shownOf(value: NewValue): Shown {
  const kinds: Kinds = new WeakMap();
  const [made] = build(value, kinds, (container) => void Object.freeze(container));
  return { value: made as object, kinds };
}

/** A value as it crosses to the other side, or goes into a document again. */
export function crossing(value: unknown, kind: Kind | undefined, kinds: Kinds): NewValue {
  if (isText(kind)) return { text: value as string, ...(typeof kind === "object" && { marks: kind }) };
  if (kind === "counter") return { counter: value as number };
  if (!isContainer(value)) return value as NewValue;
  const known = kinds.get(value);
  if (Array.isArray(value)) return { list: value.map((item, index) => crossing(item, known?.get(index), kinds)) };
  return { map: Object.entries(value).map(([key, item]) => [key, crossing(item, known?.get(key), kinds)]) };
}

/** The edits that lead from one value to another. */
export function differences(old: Shown, now: Shown): Edit[] {
  const edits: Edit[] = [];
  compare(old, now, [], (patch, was) => {
    const holder = patch.path.slice(0, -1);
    const at = patch.path.at(-1) as string | number;
    const crossed = (path: Path, key: string | number, value: unknown) => {
      return crossing(value, kindOf({ value: lookUp(now.value, path) as object, kinds: now.kinds }, key), now.kinds);
    };
    if (patch.kind === "put") {
      const value = crossed(holder, at, patch.value);
      const counted = was.had && kindOf({ value: was.container, kinds: old.kinds }, was.at) === "counter" && isCounter(value);
      // What others count at the same time stays.
      edits.push(counted ? ["increment", holder, at, value.counter - (was.value as number)] : ["put", holder, at, value]);
    } else if (patch.kind === "delete") edits.push(["delete", holder, at as string]);
    else if (patch.kind === "text") edits.push(["text", patch.path, patch.index, patch.deleted, patch.inserted]);
    else if (patch.kind === "mark") edits.push(editOf(patch.path, patch));
    else {
      const insert = patch.inserted.map((item, offset) => crossed(patch.path, patch.index + offset, item));
      edits.push(["splice", patch.path, patch.index, patch.deleted, insert]);
    }
  });
  return edits;
}

/** A value with the root keys that a page's program relies on, as they are when they are new. */
export function withInit(shown: Shown, init: readonly InitKey[]): Shown {
  const missing = init.filter(({ key }) => !Object.hasOwn(shown.value, key));
  return edited(shown, missing.map(({ key, kind, start }) => ["put", [], key, fresh(kind, start)]));
}

function fresh(kind: InitKey["kind"], start = 0): NewValue {
  if (kind === "counter") return { counter: start };
  return kind === "text" ? { text: "" } : kind === "list" ? { list: [] } : { map: [] };
}

/** Does edits of a page one after the other; one that has no place is left out. */
export function edited(shown: Shown, edits: readonly Edit[]): Shown {
  const writer = new Writer(shown);
  for (const edit of edits) writer.do(edit);
  return writer.done();
}

/** A value being written on. Containers are copied when they are first written to, and frozen in the end. */
export class Writer {
  #value: object;
  readonly #kinds: Kinds;
  readonly #own = new Set<object>();
  /** Maps of its own that have got keys, behind those that they had. */
  readonly #grown = new Set<object>();
  /** The text that was written in last, put together when something else is looked at: an edit costs no more for the text's length. */
  #open: { path: Path; text: Chunks; marks: readonly Mark[] } | undefined;

  constructor(shown: Shown) {
    this.#value = shown.value;
    // Containers are never shared between two values in different roles, so both can have one table.
    this.#kinds = shown.kinds;
  }

  /** The value with all that was done to it, frozen. */
  done(): Shown {
    this.#close();
    if (this.#grown.size > 0 && this.#own.has(this.#value)) this.#value = this.#sorted(this.#value);
    for (const container of this.#own) Object.freeze(container);
    this.#own.clear();
    this.#grown.clear();
    return { value: this.#value, kinds: this.#kinds };
  }

  /** Does an edit of the engine; gives the same as pages count, or nothing if it has no place. */
  fromEngine(edit: Edit): Edit | undefined {
    if (edit[0] !== "text" && edit[0] !== "mark") return this.do(edit) ? edit : undefined;
    const text = this.#text(edit[1]);
    if (text === undefined) return undefined;
    const start = unitsAfter(text, 0, edit[2]);
    const units: Edit =
      edit[0] === "mark"
        ? ["mark", edit[1], start, unitsAfter(text, start, edit[3] - edit[2]), edit[4], edit[5], edit[6]]
        : ["text", edit[1], start, unitsAfter(text, start, edit[3]) - start, edit[4]];
    return this.do(units) ? units : undefined;
  }

  /** Does an edit of a page; gives the same as the engine counts, or nothing if it has no place. */
  toEngine(edit: Edit): Edit | undefined {
    if (edit[0] !== "text" && edit[0] !== "mark") return this.do(edit) ? edit : undefined;
    const text = this.#text(edit[1]);
    if (!this.do(edit) || text === undefined) return undefined;
    if (edit[0] === "mark") {
      const [, path, from, to, name, value, expand] = edit;
      return ["mark", path, codePoints(text, 0, from), codePoints(text, 0, to), name, value, expand];
    }
    const [, path, index, count, insert] = edit;
    return ["text", path, codePoints(text, 0, index), codePoints(text, index, index + count), insert];
  }

  /** Does an edit of a page. False, and nothing done, if it has no place. */
  do(edit: Edit): boolean {
    if (edit[0] !== "text") this.#close();
    switch (edit[0]) {
      case "put":
        return this.#put(edit[1], edit[2], edit[3]);
      case "delete":
        return this.#delete(edit[1], edit[2]);
      case "splice":
        return this.#splice(edit[1], edit[2], edit[3], edit[4]);
      case "text":
        return this.#spliceText(edit[1], edit[2], edit[3], edit[4]);
      case "mark":
        return this.#remark(edit[1], { from: edit[2], to: edit[3], name: edit[4], value: edit[5] });
      case "increment":
        return this.#increment(edit[1], edit[2], edit[3]);
    }
  }

  #put(path: Path, key: string | number, value: NewValue): boolean {
    const container = this.#writable(path);
    if (!container || !fits(container, key)) return false;
    const [made, kind] = this.#made(value);
    if (Array.isArray(container)) container[key as number] = made;
    else {
      if (!Object.hasOwn(container, key)) this.#grown.add(container);
      define(container, key, made);
    }
    this.#mark(container, key, kind);
    return true;
  }

  #delete(path: Path, key: string): boolean {
    const held = this.#at(path);
    if (!isContainer(held) || Array.isArray(held) || !Object.hasOwn(held, key)) return false;
    const container = this.#writable(path) as Items;
    delete container[key];
    this.#mark(container, key, undefined);
    return true;
  }

  #splice(path: Path, index: number, count: number, insert: NewValue[]): boolean {
    const held = this.#at(path);
    if (!Array.isArray(held) || index + count > held.length) return false;
    const list = this.#writable(path) as unknown[];
    const made = insert.map((value) => this.#made(value));
    const known = this.#kinds.get(list);
    if (known) {
      const kept = [...known].filter(([at]) => (at as number) < index || (at as number) >= index + count);
      const moved = kept.map(([at, kind]) => [(at as number) < index ? at : (at as number) - count + insert.length, kind] as const);
      this.#kinds.set(list, new Map(moved));
    }
    list.splice(index, count, ...made.map(([item]) => item));
    made.forEach(([, kind], offset) => kind && this.#mark(list, index + offset, kind));
    return true;
  }

  #spliceText(path: Path, index: number, count: number, insert: string): boolean {
    const open = this.#open && isSame(this.#open.path, path) ? this.#open : this.#begun(path);
    if (!open?.text.splice(index, count, insert)) return false;
    if (open.marks.length > 0) open.marks = moved(open.marks, index, count, insert.length);
    this.#open = open;
    return true;
  }

  #begun(path: Path): { path: Path; text: Chunks; marks: readonly Mark[] } | undefined {
    const held = this.#text(path);
    if (held === undefined) return undefined;
    const container = this.#at(path.slice(0, -1)) as Items;
    return { path, text: new Chunks(held), marks: marksOf(this.#kinds.get(container)?.get(path.at(-1) as string)) };
  }

  #remark(path: Path, remark: Remark): boolean {
    const text = this.#text(path);
    if (text === undefined || remark.from >= remark.to || remark.to > text.length) return false;
    const container = this.#writable(path.slice(0, -1)) as Items;
    const key = path.at(-1) as string;
    this.#mark(container, key, textWith(remarked(marksOf(this.#kinds.get(container)?.get(key)), remark)));
    return true;
  }

  /** Puts the text together that was written in. */
  #close(): void {
    const open = this.#open;
    if (!open) return;
    this.#open = undefined;
    const [container, key] = [this.#writable(open.path.slice(0, -1)) as Items, open.path.at(-1) as string];
    define(container, key, open.text.toString());
    this.#mark(container, key, textWith(open.marks));
  }

  #increment(path: Path, key: string | number, by: number): boolean {
    const held = this.#at(path);
    if (!isContainer(held) || this.#kinds.get(held)?.get(key) !== "counter") return false;
    const container = this.#writable(path) as Items;
    define(container, key as string, (container[key] as number) + by);
    return true;
  }

  /** The text at a path, if one stands there. */
  #text(path: Path): string | undefined {
    this.#close();
    const container = this.#at(path.slice(0, -1));
    const key = path.at(-1);
    if (!isContainer(container) || key === undefined || !isText(this.#kinds.get(container)?.get(key))) return undefined;
    return (container as Items)[key] as string;
  }

  #at(path: Path): unknown {
    return lookUp(this.#value, path);
  }

  /** The container at a path, which is this writer's own with all above it. */
  #writable(path: Path): object | undefined {
    if (!isContainer(this.#at(path))) return undefined;
    this.#value = this.#owned(this.#value);
    let at = this.#value;
    for (const step of path) {
      const next = this.#owned((at as Items)[step] as object);
      if (next !== (at as Items)[step]) define(at, step as string, next);
      at = next;
    }
    return at;
  }

  #owned(container: object): object {
    if (this.#own.has(container)) return container;
    const copy: object = Array.isArray(container) ? container.slice() : picked(container, Object.keys(container));
    const known = this.#kinds.get(container);
    if (known) this.#kinds.set(copy, new Map(known));
    this.#own.add(copy);
    return copy;
  }

  #made(value: NewValue): [unknown, Kind | undefined] {
    return build(value, this.#kinds, (container) => void this.#own.add(container));
  }

  /** Keys are sorted, so that the same value is the same object, key by key, on every device: once for all that have come. */
  #sorted(container: object): object {
    this.#own.delete(container);
    const keys = Object.keys(container);
    for (const key of keys) {
      const item = (container as Items)[key];
      if (this.#own.has(item as object)) define(container, key, this.#sorted(item as object));
    }
    if (!this.#grown.has(container)) return Object.freeze(container);
    const sorted = picked(container, keys.sort());
    const known = this.#kinds.get(container);
    if (known) this.#kinds.set(sorted, known);
    return Object.freeze(sorted);
  }

  #mark(container: object, key: string | number, kind: Kind | undefined): void {
    const known = this.#kinds.get(container);
    if (kind) this.#kinds.set(container, (known ?? new Map<string | number, Kind>()).set(key, kind));
    else known?.delete(key);
  }
}

/** A text that is written in at many places: between two of them it is moved in pieces, not copied. */
class Chunks {
  /** What stands before the place of the last edit; and behind it, the nearest last. */
  readonly #before: string[] = [];
  readonly #behind: string[];
  #at = 0;
  #length: number;

  constructor(text: string) {
    this.#behind = [text];
    this.#length = text.length;
  }

  /** False, and nothing done, if it has no such place. */
  splice(index: number, count: number, insert: string): boolean {
    if (index + count > this.#length) return false;
    this.#move(this.#behind, this.#before, index - this.#at, 1);
    this.#move(this.#before, this.#behind, this.#at - index, -1);
    this.#at = index;
    this.#move(this.#behind, [], count, 1);
    if (insert !== "") this.#before.push(insert);
    this.#at += insert.length;
    this.#length += insert.length - count;
    return true;
  }

  /** So many units from the end of one pile to that of the other; `way` is which end of a piece is nearest. */
  #move(from: string[], to: string[], count: number, way: 1 | -1): void {
    for (let left = count; left > 0; ) {
      const piece = from.pop() as string;
      const cut = way === 1 ? left : piece.length - left;
      const [head, tail] = cut > 0 && cut < piece.length ? [piece.slice(0, cut), piece.slice(cut)] : [piece, ""];
      if (tail === "") to.push(piece);
      else {
        from.push(way === 1 ? tail : head);
        to.push(way === 1 ? head : tail);
      }
      left -= (to.at(-1) as string).length;
    }
  }

  toString(): string {
    return this.#before.join("") + this.#behind.reverse().join("");
  }
}

/** What stands at a path. */
export function lookUp(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, step) => (isContainer(at) && Object.hasOwn(at, step) ? (at as Items)[step] : undefined), value);
}

/** The text at a path, if one stands there. */
export function textAt(shown: Shown, path: Path): string | undefined {
  return isText(kindAt(shown, path)) ? (lookUp(shown.value, path) as string) : undefined;
}

/** Where a place that a page names in a text or list stands after what has come, as the engine counts; nothing if it is gone. */
export function placeAfter(shown: Shown, path: Path, index: number, come: readonly { edits: Edit[] }[]): [Path, number] | undefined {
  const isText = textAt(shown, path) !== undefined;
  let place: Edit[] = isText ? [["text", path, index, 0, " "]] : [["splice", path, index, 0, [null]]];
  for (const { edits } of come) [place] = rebase(place, edits);
  const [only] = place;
  if (!only) return undefined;
  const text = isText ? textAt(shown, only[1]) : undefined;
  const at = only[2] as number;
  return [only[1], text === undefined ? at : codePoints(text, 0, at)];
}

/** What a string or number at a path is beyond that. */
export function kindAt(shown: Shown, path: Path): Kind | undefined {
  const container = lookUp(shown.value, path.slice(0, -1));
  const key = path.at(-1);
  return isContainer(container) && key !== undefined ? kindOf({ value: container, kinds: shown.kinds }, key) : undefined;
}

function fits(container: object, key: string | number): boolean {
  return Array.isArray(container) ? typeof key === "number" && key < container.length : typeof key === "string";
}

/** `__proto__` is a key like any other to a document, but to a plain assignment it is not. */
function define(container: object, key: string | number, value: unknown): void {
  if (key !== "__proto__") (container as Items)[key] = value;
  else Object.defineProperty(container, key, { value, enumerable: true, configurable: true, writable: true });
}

/** A map with these keys of another one. Of a large one it costs half of what spreading does. */
function picked(from: object, keys: readonly string[]): object {
  const map: Items = {};
  for (const key of keys) {
    if (key === "__proto__") define(map, key, (from as Items)[key]);
    else map[key] = (from as Items)[key];
  }
  return map;
}

function build(value: NewValue, kinds: Kinds, own: (container: object) => void): [unknown, Kind | undefined] {
  if (typeof value !== "object" || value === null || value instanceof Date || value instanceof Uint8Array) return [value, undefined];
  if ("text" in value) return [value.text, textWith(value.marks)];
  if ("counter" in value) return [value.counter, "counter"];
  const known = new Map<string | number, Kind>();
  const inner = (key: string | number, item: NewValue) => {
    const [made, kind] = build(item, kinds, own);
    if (kind) known.set(key, kind);
    return made;
  };
  let container: object;
  if ("list" in value) container = value.list.map((item, index) => inner(index, item));
  else {
    container = {};
    const entries = value.map.toSorted(([a], [b]) => (a < b ? -1 : 1));
    for (const [key, item] of entries) define(container, key, inner(key, item));
  }
  if (known.size > 0) kinds.set(container, known);
  own(container);
  return [container, undefined];
}
