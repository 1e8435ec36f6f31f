/** An open document as a page holds it: read, change, wait, watch, and settle what the server would not have. */

import { type Kinds, record } from "./draft.js";
import type { Driver } from "./driver.js";
import { RejoinError } from "./errors.js";
import { callAll } from "./listeners.js";
import { NOTHING, type Status } from "./status.js";
import type { Value } from "./values.js";
import type { EngineEvent, OutboxEntry } from "./wasm/rejoin.js";

/** Names an edit, to wait for it. */
export type ChangeId = number & { readonly changeId: unique symbol };

/** What a subscriber is told: the document as it is now. */
export type Snapshot<T> = { readonly value: Value<T>; readonly status: Status };

/** A document of type `T`. */
export class SyncDocument<T extends object = Record<string, unknown>> {
  /** The document's name. */
  readonly name: string;
  readonly #driver: Driver;
  readonly #id: number;
  readonly #onClose: () => void;
  readonly #subscribers = new Set<(snapshot: Snapshot<T>) => void>();
  readonly #waiting = new Set<Waiting>();
  #value: object | undefined;
  #kinds: Kinds = new WeakMap();
  #stale = true;
  #status = NOTHING;
  #announced = false;
  #saved = 0;
  #acknowledged = 0;
  #closed = false;

  /** @internal */
  constructor(driver: Driver, id: number, name: string, onClose: () => void) {
    this.#driver = driver;
    this.#id = id;
    this.name = name;
    this.#onClose = onClose;
  }

  /** The value now, own edits included; frozen. Another object after each change. */
  get value(): Value<T> {
    return this.#read() as Value<T>;
  }

  /** Where the document stands. */
  get status(): Status {
    this.#check();
    this.#status = this.#driver.status((engine) => engine.status(this.#id), this.#status);
    return this.#status;
  }

  /** The changes that the server is not known to have, oldest first, rejected ones last. */
  get outbox(): readonly OutboxEntry[] {
    return this.#driver.peek((engine) => engine.outbox(this.#id));
  }

  /**
   * Edits the document at once, with or without a network: all that `write` does to the draft is one change. If it throws, or the
   * change is refused, nothing is changed. Gives an id to wait for.
   */
  change(write: (draft: T) => void): ChangeId {
    this.#check();
    const edits = record(this.#read(), this.#kinds, write);
    return this.#driver.turn((engine, now) => engine.change(now, Date.now(), this.#id, edits)) as ChangeId;
  }

  /** Waits until an edit is saved on this device, from where it survives any crash. */
  saved(change: ChangeId): Promise<void> {
    return this.#wait(() => this.#saved >= change);
  }

  /**
   * Waits until the server has answered an edit: it is saved there, or was rejected, which `status` counts and `outbox` shows. Waits
   * as long as there is no network.
   */
  acknowledged(change: ChangeId): Promise<void> {
    return this.#wait(() => this.#acknowledged >= change);
  }

  /** Calls `listener` now, and after each batch of changes of value or status. Gives what ends the subscription. */
  subscribe(listener: (snapshot: Snapshot<T>) => void): () => void {
    this.#check();
    // A function of its own, so that one listener can subscribe twice.
    const subscriber = (snapshot: Snapshot<T>) => listener(snapshot);
    this.#subscribers.add(subscriber);
    subscriber({ value: this.value, status: this.status });
    return () => void this.#subscribers.delete(subscriber);
  }

  /** Writes a rejected change again and pushes it once more. False if there is no such change, or nothing of it can be written. */
  retry(change: string): boolean {
    return this.#driver.turn((engine, now) => engine.retry(now, this.#id, change));
  }

  /** Lets a rejected change go, or takes back one that was not sent. What was edited on top of it is kept. False if there is none. */
  discard(change: string): boolean {
    return this.#driver.turn((engine, now) => engine.discard(now, this.#id, change));
  }

  /** The outbox as automerge's change chunks, one behind the other, for the user to keep elsewhere. */
  export(): Uint8Array {
    return this.#driver.peek((engine) => engine.export(this.#id));
  }

  /** Closes the document. What is not saved yet still will be; what is unsent is sent when it is open again. */
  close(): void {
    if (this.#closed) return;
    this.#onClose();
    this.#driver.turn((engine) => engine.close(this.#id));
    this.ended();
  }

  /** @internal */
  handle(event: EngineEvent): void {
    if (event.kind === "saved") this.#saved = Math.max(this.#saved, event.change);
    if (event.kind === "acknowledged") this.#acknowledged = Math.max(this.#acknowledged, event.change);
    if (event.kind === "changed") this.#stale = true;
    this.#settle();
    this.announce();
  }

  /** @internal Tells subscribers, once however much happens before they are told. */
  announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    queueMicrotask(() => {
      this.#announced = false;
      // Without a subscriber there is nobody to read for; a document that is still being loaded has none.
      if (this.#closed || this.#subscribers.size === 0) return;
      callAll(this.#subscribers, { value: this.value, status: this.status });
    });
  }

  /** @internal Nothing more will come. */
  ended(): void {
    this.#closed = true;
    this.#subscribers.clear();
    this.#settle();
  }

  #check(): void {
    if (this.#closed) throw new RejoinError("closed", "the document is closed");
  }

  #read(): object {
    if (this.#stale && !this.#closed && !this.#driver.failed) {
      const kinds: Kinds = new WeakMap();
      const value = this.#driver.peek((engine) =>
        engine.value(this.#id, (container, key, kind) => {
          const known = kinds.get(container) ?? new Map<string | number, "text" | "counter">();
          kinds.set(container, known.set(key, kind));
        }),
      );
      // A copy in memory that proved damaged is loaded again; until then the last value stands.
      if (value !== undefined) {
        this.#value = value as object;
        this.#kinds = kinds;
        this.#stale = false;
      }
    }
    if (!this.#value) throw new RejoinError("not-ready", "the document is not loaded");
    return this.#value;
  }

  #wait(reached: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.add({ reached, resolve, reject });
      this.#settle();
    });
  }

  #settle(): void {
    for (const waiting of this.#waiting) {
      const reached = waiting.reached();
      if (!reached && !this.#closed) continue;
      this.#waiting.delete(waiting);
      if (reached) waiting.resolve();
      else waiting.reject(new RejoinError("closed", "the document is closed"));
    }
  }
}

type Waiting = { reached: () => boolean; resolve: () => void; reject: (error: Error) => void };
