/**
 * Edits that wait for a document's history, as they are kept on this device: with the value that they were made on, until they are a change.
 *
 * Owns their rows, which stand among those of the outbox, and whose they are: those of one page load are its own by a lock, and once it is gone
 * whoever's takes them first. Decides nothing of what becomes of them.
 */

import { type LocalStore, type Row, withRoom, type Write } from "./store/store.js";
import { take } from "./tabs.js";
import type { Kept } from "./wire.js";
import type { Edit, NewValue, OutboxEntry } from "./wasm/rejoin.js";

/** The format of the rows, in their first byte. The engine has others; a version that does not know it says `store-newer`. */
const FORMAT = 4;
/** Behind the document's name, where no row of the engine stands. */
const MARK = new Uint8Array(8).fill(0xff);
const ID_BYTES = 8;
/** What could not be kept is tried again after this time. */
const AGAIN_MS = 1_000;

/** What edits were made on: `at` is the position in the log that must be here before they are a change; 0 if it was this device's own value. */
export type Base = { at: number; value: Kept };

/** Why edits are not in the document, or not all of them. */
export type Gone = { code: NonNullable<OutboxEntry["code"]>; reason: string };

/** The edits of one change. They wait unless they are `done`, or `gone`. */
export type Entry = { readonly n: number; readonly edits: Edit[]; readonly time: number; done?: true; gone?: Gone; kept?: true; dirty?: true };

/** A value in a line of JSON: what JSON has no word for is an object that names its kind, such as `{ "date": 0 }`, in milliseconds since 1970. */
export type InJson<T> = T extends Date ? { readonly date: number }
  : T extends Uint8Array ? { readonly bytes: readonly number[] }
  : T extends bigint ? { readonly bigint: string }
  : T extends number ? T | { readonly number: "NaN" | "Infinity" | "-Infinity" | "-0" }
  : T extends object ? { readonly [K in keyof T]: InJson<T[K]> }
  : T;

/** A line of JSON behind the changes of an export: what one page load edited before the document's history was there. */
export type WaitingLine = {
  /** The value that it was made on; `at` is where in the server's log that was, 0 if it was this device's own. */
  readonly base?: { readonly at: number; readonly value: InJson<NewValue> };
  /** What was edited at once, in order and at this time (in milliseconds since 1970), each on top of those before; what is a change is left out. */
  readonly entries: readonly {
    readonly edits: readonly InJson<Edit>[];
    readonly time: number;
    /** It found no place, or was refused. It waits otherwise. */
    readonly gone?: { readonly code: NonNullable<OutboxEntry["code"]>; readonly reason: string };
  }[];
};

/** Whether a row is one of these. */
export function isWaiting([, value]: Row): boolean {
  return value[0] === FORMAT;
}

export function waits({ done, gone }: Entry): boolean {
  return !done && !gone;
}

/** The edits of one page load, in order, each as it is after those before it. */
export class Series {
  readonly #shelf: Shelf;
  readonly #prefix: Uint8Array;
  readonly #lock: Promise<() => void>;
  readonly #told: () => void;
  readonly id: string;
  readonly base: Base | undefined;
  entries: Entry[];
  #isBased: boolean;
  #count: number;
  #tail: Promise<void> = Promise.resolve();
  #again: ReturnType<typeof setTimeout> | undefined;
  /** The last attempt to keep something has failed. */
  failing = false;

  /** `told` is called when more is kept, or could not be. */
  constructor(shelf: Shelf, prefix: Uint8Array, lock: Promise<() => void>, base: Base | undefined, entries: Entry[], told: () => void) {
    this.#shelf = shelf;
    this.#prefix = prefix;
    this.id = hex(prefix.slice(-ID_BYTES));
    this.#lock = lock;
    this.base = base;
    this.entries = entries;
    this.#isBased = entries.length > 0;
    this.#count = entries.at(-1)?.n ?? 0;
    this.#told = told;
  }

  /** Ends once what was to be kept is, or an attempt has failed. */
  get settled(): Promise<void> {
    return this.#tail;
  }

  /** What of it is in no change, as a line of JSON. */
  get text(): string {
    const entries = this.entries.filter(({ done }) => !done).map(({ edits, time, gone }) => ({ edits, time, gone }));
    return entries.length > 0 ? `\n${json({ base: this.base, entries })}` : "";
  }

  add(edits: Edit[], time: number): Entry {
    this.#count += 1;
    const entry: Entry = { n: this.#count, edits, time, dirty: true };
    this.entries.push(entry);
    this.save();
    return entry;
  }

  /** An entry waits no more. Gives the row that says so, for the transaction that saves what it has become. */
  end(entry: Entry, gone?: Gone): Row {
    if (gone) entry.gone = gone;
    else entry.done = true;
    delete entry.dirty;
    return this.#row(entry);
  }

  /** Keeps what is not kept yet. An entry that has become a change meanwhile is in the transaction that saves that. */
  save(): void {
    clearTimeout(this.#again);
    this.#tail = this.#tail.then(() => this.#write());
  }

  async #write(): Promise<void> {
    await this.#lock;
    const dirty = this.entries.filter((entry) => entry.dirty);
    if (dirty.length === 0 || this.#shelf.isOver) return;
    const rows = dirty.map((entry) => this.#row(entry));
    if (!this.#isBased) rows.unshift([this.#key(0), encode(this.base)]);
    try {
      await this.#shelf.commit(rows.map(([key, value]) => ({ kind: "put", table: "outbox", key, value })));
      this.#isBased = true;
      this.failing = false;
      for (const entry of dirty) {
        entry.kept = true;
        delete entry.dirty;
      }
    } catch {
      this.failing = true;
      this.#again = setTimeout(() => this.save(), AGAIN_MS);
    }
    this.#told();
  }

  /** What has become of all that waited is saved: only what is gone stays, until somebody has seen it. */
  async tidy(): Promise<void> {
    const over = this.entries.filter(({ gone }) => !gone);
    this.entries = this.entries.filter(({ gone }) => gone);
    await this.#tail;
    if (this.entries.length === 0) return this.#remove([{ kind: "delete-prefix", table: "outbox", prefix: this.#prefix }], true);
    const keys = [0, ...over.map(({ n }) => n)].map((n) => this.#key(n));
    await this.#remove(keys.map((key) => ({ kind: "delete", table: "outbox", key })), false);
  }

  async discard(entry: Entry): Promise<void> {
    this.entries = this.entries.filter((other) => other !== entry);
    await this.#remove([{ kind: "delete", table: "outbox", key: this.#key(entry.n) }], this.entries.length === 0);
  }

  async #remove(writes: Write[], isLast: boolean): Promise<void> {
    // Where it fails the next page load finds that all is done.
    await this.#shelf.commit(writes).catch(() => undefined);
    if (isLast) this.free();
  }

  /** Leaves it to others. */
  free(): void {
    clearTimeout(this.#again);
    this.#shelf.left(this.id);
    void this.#lock.then((free) => free());
  }

  #row(entry: Entry): Row {
    const { edits, time, done, gone } = entry;
    return [this.#key(entry.n), encode({ edits, time, done, gone })];
  }

  #key(n: number): Uint8Array {
    const key = joined(this.#prefix, new Uint8Array(4));
    new DataView(key.buffer).setUint32(this.#prefix.length, n);
    return key;
  }
}

/** All series that this client has. */
export class Shelf {
  readonly #store: Promise<LocalStore>;
  readonly #views: { clear(): Promise<void> } | undefined;
  readonly #name: string;
  readonly #own = new Set<string>();
  readonly #awaited = new Set<string>();
  readonly #held = new AbortController();

  /** `name` is that of the store. */
  constructor(store: Promise<LocalStore>, views: { clear(): Promise<void> } | undefined, name: string) {
    // That there is none is told elsewhere.
    store.catch(() => undefined);
    this.#store = store;
    this.#views = views;
    this.#name = name;
  }

  get isOver(): boolean {
    return this.#held.signal.aborted;
  }

  /** A new series. */
  begin(document: string, base: Base, told: () => void): Series {
    const id = crypto.getRandomValues(new Uint8Array(ID_BYTES));
    this.#own.add(hex(id));
    const lock = this.#take(hex(id)).then((free) => free ?? (() => undefined));
    return new Series(this, joined(prefixOf(document), id), lock, base, [], told);
  }

  /** Takes the series of a document that are nobody's any more; of others calls `late` once they may be. */
  async adopt(document: string, told: () => void, late: () => void): Promise<Series[]> {
    const prefix = prefixOf(document);
    const ids = new Map((await this.#read(prefix)).map(([key]) => [hex(idIn(key, prefix)), idIn(key, prefix)]));
    const adopted: Series[] = [];
    for (const [name, id] of ids) {
      if (this.#own.has(name)) continue;
      this.#own.add(name);
      const free = await this.#take(name);
      if (free) adopted.push(await this.#open(joined(prefix, id), Promise.resolve(free), told));
      else {
        this.#own.delete(name);
        this.#await(name, late);
      }
    }
    return adopted;
  }

  /** As it is now that nobody else writes there. */
  async #open(prefix: Uint8Array, lock: Promise<() => void>, told: () => void): Promise<Series> {
    let base: Base | undefined;
    const entries: Entry[] = [];
    for (const [key, value] of await this.#read(prefix)) {
      const n = new DataView(key.buffer, key.byteOffset + prefix.length).getUint32(0);
      if (n === 0) base = decode(value) as Base;
      else entries.push({ ...(decode(value) as Omit<Entry, "n">), n, kept: true });
    }
    return new Series(this, prefix, lock, base, entries, told);
  }

  async #read(prefix: Uint8Array): Promise<Row[]> {
    const [rows = []] = await (await this.#store).read(["outbox"], prefix);
    return rows.filter(isWaiting);
  }

  async commit(writes: Write[]): Promise<void> {
    const store = await this.#store;
    await withRoom(this.#views, () => store.commit(writes));
  }

  left(id: string): void {
    this.#own.delete(id);
  }

  /** Leaves all to others. */
  leave(): void {
    this.#held.abort();
  }

  /** Where a store is shared there are locks. Gives what frees it; nothing if another page load has it. */
  async #take(id: string): Promise<(() => void) | undefined> {
    if (!(await this.#store.catch(() => undefined))?.durable) return () => undefined;
    const free = await take(this.#lock(id), () => undefined);
    if (free) this.#held.signal.addEventListener("abort", free);
    return free;
  }

  #await(id: string, late: () => void): void {
    if (this.#awaited.has(id)) return;
    this.#awaited.add(id);
    const { signal } = this.#held;
    const free = () => {
      this.#awaited.delete(id);
      queueMicrotask(late);
    };
    navigator.locks.request(this.#lock(id), { signal }, free).catch(() => undefined);
  }

  #lock(id: string): string {
    return `${this.#name}#waiting-${id}`;
  }
}

function prefixOf(document: string): Uint8Array {
  return joined(document, new Uint8Array(1), MARK);
}

function idIn(key: Uint8Array, { length }: Uint8Array): Uint8Array {
  return key.slice(length, length + ID_BYTES);
}

/** One after the other, what is text in UTF-8. */
export function joined(...parts: (Uint8Array | string)[]): Uint8Array {
  const pieces = parts.map((part) => (typeof part === "string" ? new TextEncoder().encode(part) : part));
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** JSON, with what it has no word for named by its kind. Values name theirs as well, so that nothing else looks so. */
function json(value: unknown): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, key, plain: unknown) {
    const raw = this[key];
    if (raw instanceof Date) return { date: raw.getTime() };
    if (raw instanceof Uint8Array) return { bytes: [...raw] };
    if (typeof raw === "bigint") return { bigint: String(raw) };
    if (typeof raw === "number" && (!Number.isFinite(raw) || Object.is(raw, -0))) return { number: Object.is(raw, -0) ? "-0" : String(raw) };
    return plain;
  });
}

function encode(value: unknown): Uint8Array {
  return joined(Uint8Array.of(FORMAT), json(value));
}

function decode(row: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(row.subarray(1)), (_, value: unknown) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    const { date, bytes, bigint, number } = value as { date?: number; bytes?: number[]; bigint?: string; number?: string };
    if (date !== undefined) return new Date(date);
    if (bytes) return new Uint8Array(bytes);
    if (bigint !== undefined) return BigInt(bigint);
    return number === undefined ? value : Number(number);
  });
}
