/**
 * A document as something to write on: natural JavaScript in, edits out.
 *
 * Owns the recording of edits and the copy that shows them while the change is being made. An edit names its place by the path that
 * holds at that moment, so that the edits can be done in order anywhere: in this page, or in a worker that has the document.
 */

import type { Kind, Kinds } from "./diff.js";
import { RejoinError } from "./errors.js";
import { isText, marksOf } from "./marks.js";
import { Counter, encode, Text } from "./values.js";
import type { Edit, Mark, NewValue, Path } from "./wasm/rejoin.js";

/** Runs `write` on a draft of `value`; gives the edits that it made. */
export function record<T>(value: object, kinds: Kinds, write: (draft: T) => unknown): Edit[] {
  const recorder = new Recorder(kinds);
  try {
    const result = write(MapNode.held(recorder, value, undefined).proxy as T);
    if (result instanceof Promise) {
      throw new RejoinError("bad-value", "a change is made at once: its function can't be async");
    }
    return recorder.edits;
  } finally {
    recorder.ended = true;
  }
}

/** What nodes share. */
class Recorder {
  readonly edits: Edit[] = [];
  readonly kinds: Kinds;
  ended = false;

  constructor(kinds: Kinds) {
    this.kinds = kinds;
  }

  add(edit: Edit): void {
    this.check();
    this.edits.push(edit);
  }

  check(): void {
    if (this.ended) throw new RejoinError("draft-ended", "a draft can't be used after its change has ended");
  }

  /** What a draft shows of a value that was read from the document. */
  held(value: unknown, kind: Kind | undefined, place: () => Place): unknown {
    if (isText(kind)) return this.text(value as string, marksOf(kind), place);
    if (kind === "counter") return this.counter(value as number, place);
    if (Array.isArray(value)) return ListNode.held(this, value, place).proxy;
    if (isMap(value)) return MapNode.held(this, value, place).proxy;
    return copied(value);
  }

  /** What a draft shows of a value that it was given. */
  given(value: NewValue, place: () => Place): unknown {
    if (typeof value !== "object" || value === null || value instanceof Date || value instanceof Uint8Array) return copied(value);
    if ("text" in value) return this.text(value.text, value.marks ?? [], place);
    if ("counter" in value) return this.counter(value.counter, place);
    if ("list" in value) return ListNode.given(this, value.list, place).proxy;
    return MapNode.given(this, value.map, place).proxy;
  }

  text(text: string, marks: readonly Mark[], place: () => Place): Text {
    return Text.bound(text, marks, {
      splice: (index, deleteCount, insert) => this.add(["text", pathOf(place()), index, deleteCount, insert]),
      remark: ({ from, to, name, value }, expand) => this.add(["mark", pathOf(place()), from, to, name, value, expand]),
    });
  }

  counter(value: number, place: () => Place): Counter {
    return Counter.bound(value, {
      increment: (by) => {
        const [parent, key] = place();
        this.add(["increment", parent.path(), key, by]);
      },
    });
  }
}

/** A container and where something stands in it. */
type Place = [parent: MapNode | ListNode, key: string | number];

/** Where something stands as long as it stands there; `is` says once what it is. */
type Placing = { place: () => Place; is: (item: unknown) => unknown };

function pathOf([parent, key]: Place): Path {
  return [...parent.path(), key];
}

function detached(): never {
  throw new RejoinError("bad-value", "this object is no part of the document any more");
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !(value instanceof Date) && !(value instanceof Uint8Array);
}

/** Dates and bytes can't be frozen: nobody is to change those that the page shows. */
function copied(value: unknown): unknown {
  return typeof value === "object" ? structuredClone(value) : value;
}

/** A string is not put where a text stands, nor a number where a counter does: that would throw away what others are writing. */
function keepKind(held: unknown, value: unknown, place: string): void {
  if (held instanceof Text && typeof value === "string") {
    throw new RejoinError("bad-value", `${place} is a text: edit it, with update() for instance, or assign a new Text`);
  }
  if (held instanceof Counter && typeof value === "number") {
    throw new RejoinError("bad-value", `${place} is a counter: increment it, or assign a new Counter`);
  }
}

class MapNode {
  readonly proxy: object;
  readonly #recorder: Recorder;
  readonly #place: (() => Place) | undefined;
  readonly #items = new Map<string, unknown>();

  private constructor(recorder: Recorder, place: (() => Place) | undefined) {
    this.#recorder = recorder;
    this.#place = place;
    this.proxy = new Proxy({}, this.#handler());
  }

  /** A map as it was read from the document. */
  static held(recorder: Recorder, value: object, place: (() => Place) | undefined): MapNode {
    const node = new MapNode(recorder, place);
    const kinds = recorder.kinds.get(value);
    for (const [key, item] of Object.entries(value)) node.#items.set(key, new Unread(item, kinds?.get(key)));
    return node;
  }

  /** A map that the change has made. */
  static given(recorder: Recorder, entries: [string, NewValue][], place: () => Place): MapNode {
    const node = new MapNode(recorder, place);
    for (const [key, item] of entries) node.#items.set(key, node.#given(key, item));
    return node;
  }

  path(): Path {
    return this.#place ? pathOf(this.#place()) : [];
  }

  #get(key: string): unknown {
    this.#recorder.check();
    const item = this.#items.get(key);
    if (!(item instanceof Unread)) return item;
    const { place, is } = this.#placing(key);
    const shown = is(this.#recorder.held(item.value, item.kind, place));
    this.#items.set(key, shown);
    return shown;
  }

  #given(key: string, value: NewValue): unknown {
    const { place, is } = this.#placing(key);
    return is(this.#recorder.given(value, place));
  }

  #set(key: string, value: unknown): void {
    const held = this.#get(key);
    if (held === value && typeof value === "object" && value !== null) return;
    keepKind(held, value, key);
    const encoded = encode(value, key);
    this.#recorder.add(["put", this.path(), key, encoded]);
    this.#items.set(key, this.#given(key, encoded));
  }

  /** What stands at `key` has a place until something else stands there. */
  #placing(key: string): Placing {
    let self: unknown;
    const place = (): Place => (self !== undefined && this.#items.get(key) === self ? [this, key] : detached());
    return { place, is: (item) => (self = item) };
  }

  #handler(): ProxyHandler<object> {
    return {
      get: (target, key) =>
        typeof key === "string" && this.#items.has(key) ? this.#get(key) : (Reflect.get(target, key) as unknown),
      set: (_, key, value) => {
        if (typeof key !== "string") throw new RejoinError("bad-value", "a key is a string");
        this.#set(key, value);
        return true;
      },
      deleteProperty: (_, key) => {
        if (typeof key === "string" && this.#items.has(key)) {
          this.#recorder.add(["delete", this.path(), key]);
          this.#items.delete(key);
        }
        return true;
      },
      has: (_, key) => typeof key === "string" && this.#items.has(key),
      ownKeys: () => [...this.#items.keys()],
      getOwnPropertyDescriptor: (_, key) =>
        typeof key === "string" && this.#items.has(key)
          ? { value: this.#get(key), enumerable: true, configurable: true, writable: true }
          : undefined,
      defineProperty: () => false,
      setPrototypeOf: () => false,
    };
  }
}

/** A value that was not looked at yet. */
class Unread {
  readonly value: unknown;
  readonly kind: Kind | undefined;

  constructor(value: unknown, kind: Kind | undefined) {
    this.value = value;
    this.kind = kind;
  }
}

/** Methods of arrays that would write each element again. Each is a splice, or several, for who means it. */
const REWRITING = new Set<PropertyKey>(["sort", "reverse", "fill", "copyWithin"]);

class ListNode {
  readonly proxy: unknown[];
  readonly #recorder: Recorder;
  readonly #place: () => Place;
  readonly #items: unknown[] = [];

  private constructor(recorder: Recorder, place: () => Place) {
    this.#recorder = recorder;
    this.#place = place;
    this.proxy = new Proxy([], this.#handler());
  }

  /** A list as it was read from the document. */
  static held(recorder: Recorder, value: readonly unknown[], place: () => Place): ListNode {
    const node = new ListNode(recorder, place);
    const kinds = recorder.kinds.get(value);
    value.forEach((item, index) => node.#items.push(new Unread(item, kinds?.get(index))));
    return node;
  }

  /** A list that the change has made. */
  static given(recorder: Recorder, items: NewValue[], place: () => Place): ListNode {
    const node = new ListNode(recorder, place);
    items.forEach((item) => node.#items.push(node.#given(item)));
    return node;
  }

  path(): Path {
    return pathOf(this.#place());
  }

  /** What stands in the list finds its index by itself, wherever it has moved. */
  #placing(): Placing {
    let self: unknown;
    const place = (): Place => {
      const index = self === undefined ? -1 : this.#items.indexOf(self);
      return index < 0 ? detached() : [this, index];
    };
    return { place, is: (item) => (self = item) };
  }

  #given(value: NewValue): unknown {
    const { place, is } = this.#placing();
    return is(this.#recorder.given(value, place));
  }

  #get(index: number): unknown {
    this.#recorder.check();
    const item = this.#items[index];
    if (!(item instanceof Unread)) return item;
    const { place, is } = this.#placing();
    const shown = is(this.#recorder.held(item.value, item.kind, place));
    this.#items[index] = shown;
    return shown;
  }

  #splice(start = 0, deleteCount = this.#items.length, ...inserted: unknown[]): unknown[] {
    const length = this.#items.length;
    const from = start < 0 ? Math.max(length + Math.trunc(start), 0) : Math.min(Math.trunc(start), length);
    const count = Math.min(Math.max(Math.trunc(deleteCount), 0), length - from);
    const removed = Array.from({ length: count }, (_, offset) => snapshot(this.#get(from + offset)));
    const encoded = inserted.map((value, offset) => encode(value, `[${from + offset}]`));
    if (count > 0 || encoded.length > 0) {
      this.#recorder.add(["splice", this.path(), from, count, encoded]);
      this.#items.splice(from, count, ...encoded.map((value) => this.#given(value)));
    }
    return removed;
  }

  #set(index: number, value: unknown): void {
    if (index === this.#items.length) {
      this.#splice(index, 0, value);
      return;
    }
    if (index > this.#items.length) {
      throw new RejoinError("bad-value", `no element ${index} in a list of ${this.#items.length}`);
    }
    const held = this.#get(index);
    if (held === value && typeof value === "object" && value !== null) return;
    keepKind(held, value, `[${index}]`);
    const encoded = encode(value, `[${index}]`);
    this.#recorder.add(["put", this.path(), index, encoded]);
    this.#items[index] = this.#given(encoded);
  }

  #setLength(length: number): void {
    if (!(length <= this.#items.length)) throw new RejoinError("bad-value", "a list grows by adding to it");
    this.#splice(length);
  }

  readonly #methods: Record<string, (...args: never[]) => unknown> = {
    push: (...values: unknown[]) => {
      this.#splice(this.#items.length, 0, ...values);
      return this.#items.length;
    },
    pop: () => (this.#items.length > 0 ? this.#splice(this.#items.length - 1, 1)[0] : undefined),
    shift: () => this.#splice(0, 1)[0],
    unshift: (...values: unknown[]) => {
      this.#splice(0, 0, ...values);
      return this.#items.length;
    },
    splice: (...args: [number?, number?, ...unknown[]]) =>
      args.length === 0 ? [] : this.#splice(args[0] ?? 0, args.length === 1 ? Infinity : (args[1] ?? 0), ...args.slice(2)),
  };

  #handler(): ProxyHandler<unknown[]> {
    return {
      get: (target, key) => {
        if (REWRITING.has(key)) {
          throw new RejoinError("bad-value", `${String(key)}() would write every element again: use splice()`);
        }
        if (key === "length") return this.#items.length;
        const index = toIndex(key);
        if (index !== undefined) return this.#get(index);
        if (typeof key === "string" && Object.hasOwn(this.#methods, key)) return this.#methods[key];
        return Reflect.get(target, key) as unknown;
      },
      set: (_, key, value) => {
        const index = toIndex(key);
        if (key === "length") this.#setLength(value as number);
        else if (index !== undefined) this.#set(index, value);
        else throw new RejoinError("bad-value", "a list has elements only");
        return true;
      },
      deleteProperty: () => {
        throw new RejoinError("bad-value", "a list has no holes: use splice()");
      },
      has: (target, key) => {
        const index = toIndex(key);
        return index === undefined ? Reflect.has(target, key) : index < this.#items.length;
      },
      ownKeys: () => [...this.#items.keys()].map(String).concat("length"),
      getOwnPropertyDescriptor: (target, key) => {
        const index = toIndex(key);
        if (index === undefined) {
          return key === "length"
            ? { value: this.#items.length, enumerable: false, configurable: false, writable: true }
            : Reflect.getOwnPropertyDescriptor(target, key);
        }
        if (index >= this.#items.length) return undefined;
        return { value: this.#get(index), enumerable: true, configurable: true, writable: true };
      },
      defineProperty: () => false,
      setPrototypeOf: () => false,
    };
  }
}

function toIndex(key: PropertyKey): number | undefined {
  if (typeof key !== "string" || !/^(0|[1-9]\d*)$/.test(key)) return undefined;
  return Number(key);
}

/** A plain copy of what a draft shows, for what is taken out of it. */
function snapshot(value: unknown): unknown {
  if (value instanceof Text) return Text.bound(value.toString(), value.marks);
  if (value instanceof Counter) return new Counter(value.value);
  if (Array.isArray(value)) return value.map(snapshot);
  if (isMap(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, snapshot(item)]));
  return value;
}
