/** An open document as a page holds it: read, change, wait, watch, and settle what the server would not have. */

import { Conflicts } from "./conflicts/list.js";
import { lookUp } from "./conflicts/project.js";
import { type Conflict, isWithin } from "./conflicts/types.js";
import { diff, type Patch, type Shown } from "./diff.js";
import { type Kinds, record } from "./draft.js";
import type { Driver } from "./driver.js";
import { RejoinError } from "./errors.js";
import { callAll } from "./listeners.js";
import { Presence, type PresenceHub } from "./presence.js";
import { NOTHING, type Status } from "./status.js";
import { Undo } from "./undo.js";
import type { Value } from "./values.js";
import type { EngineEvent, OutboxEntry, Path, Replica, Version } from "./wasm/rejoin.js";

/** Names an edit, to wait for it. */
export type ChangeId = number & { readonly changeId: unique symbol };

/** A place in a text or list that stays with what stands there. A string, to be kept or sent anywhere. */
export type Cursor = string & { readonly cursor: unique symbol };

/** What a subscriber is told: the document as it is now. */
export type Snapshot<T> = {
  readonly value: Value<T>;
  readonly status: Status;
  /** What leads from the value that this subscriber was told last to this one; none the first time, or if only the status is another. */
  readonly patches: readonly Patch[];
};

/** What is known of one place in a document. */
export type Inspection = {
  /** What stands there, or what a rule answers in its place; `undefined` if nothing is to. */
  readonly value: unknown;
  /** The unsettled conflict that stands there or around it, if there is one. */
  readonly conflict: Conflict | undefined;
  /** Whether a change of it, or of what is in it, is not known to be on the server. */
  readonly pending: boolean;
};

/** A document of type `T`, in which presence is of type `P`. */
export class SyncDocument<T extends object = Record<string, unknown>, P = unknown> {
  /** The document's name. */
  readonly name: string;
  /** Who else has the document open, and what they say of themselves. */
  readonly presence: Presence<P>;
  /** What merging has hidden, and what the server refused. */
  readonly conflicts: Conflicts;
  readonly #driver: Driver;
  readonly #id: number;
  readonly #hub: PresenceHub;
  readonly #onClose: () => void;
  readonly #undo: Undo;
  readonly #subscribers = new Set<(news: News) => void>();
  readonly #waiting = new Set<Waiting>();
  #shown: Shown | undefined;
  #stale = true;
  #status = NOTHING;
  /** Where changes were made that the server is not known to have; found when somebody asks. */
  #pendingPaths: readonly Path[] | undefined;
  #announced = false;
  #saved = 0;
  #acknowledged = 0;
  #closed = false;

  /** @internal */
  constructor(driver: Driver, hub: PresenceHub, id: number, name: string, onClose: () => void) {
    this.#driver = driver;
    this.#hub = hub;
    this.#id = id;
    this.name = name;
    this.presence = new Presence(hub, name);
    this.#onClose = onClose;
    this.conflicts = new Conflicts({
      list: () => (driver.failed ? [] : driver.peek((engine) => engine.conflicts(id))),
      resolve: (conflict, version, answer, note) => {
        driver.turn((engine, now) => engine.resolveConflict(now, Date.now(), id, conflict, version, answer, note));
        // What a settlement wrote is nobody's typing.
        this.#undo.otherChanged();
      },
      reopen: (conflict) => void driver.turn((engine, now) => engine.reopenConflict(now, Date.now(), id, conflict)),
    });
    this.#undo = new Undo({
      shown: () => this.#read(),
      cursor: (path, index) => driver.peek((engine) => engine.cursor(id, path, index, false)),
      exact: (path, cursor) => driver.peek((engine) => engine.exact(id, path, cursor)),
      position: (cursor) => driver.peek((engine) => engine.position(id, cursor)),
      edit: (edits) => void driver.turn((engine, now) => engine.change(now, Date.now(), id, edits)),
    });
  }

  /** The value now, own edits included; frozen. Another object after each change. */
  get value(): Value<T> {
    return this.#read().value as Value<T>;
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
    const before = this.#read();
    const edits = record(before.value, before.kinds, write);
    const change = this.#driver.turn((engine, now) => engine.change(now, Date.now(), this.#id, edits)) as ChangeId;
    this.#undo.changed(before, this.#driver.now());
    return change;
  }

  /**
   * Takes back the last of this page's own changes of which anything is left, as another change. What others have changed since stays:
   * a key is put back only if it still holds what was put there, and of texts and lists only what was inserted here goes. Typing without
   * a pause is one change. False if there is none.
   */
  undo(): boolean {
    this.#check();
    return this.#undo.undo();
  }

  /** Takes back the last `undo`, unless something was changed here since. False if there is none. */
  redo(): boolean {
    this.#check();
    return this.#undo.redo();
  }

  /** Whether this page has changed something that was not undone. */
  get canUndo(): boolean {
    return this.#undo.canUndo;
  }

  /** Whether something was undone, and nothing changed since. */
  get canRedo(): boolean {
    return this.#undo.canRedo;
  }

  /**
   * A cursor for the character or element at `index` of the text or list at `path`, such as `["notes", 0, "body"]`; for the end if it is
   * there. If what it stands at is removed it stands at what comes next.
   */
  cursor(path: Path, index: number): Cursor {
    this.#check();
    return this.#driver.peek((engine) => engine.cursor(this.#id, path, index, true)) as Cursor;
  }

  /** Where a cursor stands now, made here or elsewhere. `undefined` if the document does not have its place, or not yet. */
  position(cursor: Cursor): number | undefined {
    this.#check();
    return this.#driver.peek((engine) => engine.position(this.#id, cursor));
  }

  /** What stands at `path`, with the answers of rules; whether there is a conflict; and whether the server has it. */
  inspect(path: Path): Inspection {
    this.#check();
    const conflict = this.conflicts.list().find(({ path: place, state }) => isWithin(path, place) && (state === "open" || state === "projected"));
    this.#pendingPaths ??= this.#driver.peek((engine) => engine.pendingPaths(this.#id));
    const pending = this.#pendingPaths.some((place) => isWithin(place, path) || isWithin(path, place));
    return { value: lookUp(this.conflicts.project(this.value), path), conflict, pending };
  }

  /** All changes that this device has, each after those that its author had seen. */
  get history(): readonly Version[] {
    this.#check();
    return this.#driver.peek((engine) => engine.history(this.#id));
  }

  /** The value as the author of a change saw it, that change included; what others did meanwhile is not in it. */
  at(change: string): Value<T> {
    this.#check();
    const shown = this.#show((engine, special) => engine.valueAt(this.#id, change, special));
    if (!shown) throw new RejoinError("bad-value", `the document has no change ${change}`);
    return shown.value as Value<T>;
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

  /**
   * Calls `listener` now, and once after each batch of changes of value or status, whoever made them. Gives what ends the subscription.
   */
  subscribe(listener: (snapshot: Snapshot<T>) => void): () => void {
    this.#check();
    let last = this.#read();
    // A function of its own, so that one listener can subscribe twice.
    const subscriber = ({ shown, status, diff }: News) => {
      const before = last;
      last = shown;
      listener({
        value: shown.value as Value<T>,
        status,
        // Made for those who look.
        get patches() {
          return diff(before);
        },
      });
    };
    this.#subscribers.add(subscriber);
    subscriber(this.#news());
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
    this.#hub.left(this.name);
    this.#onClose();
    this.#driver.turn((engine) => engine.close(this.#id));
    this.ended();
  }

  /** @internal */
  handle(event: EngineEvent): void {
    if (event.kind === "saved") this.#saved = Math.max(this.#saved, event.change);
    if (event.kind === "acknowledged") this.#acknowledged = Math.max(this.#acknowledged, event.change);
    if (event.kind === "changed") {
      this.#stale = true;
      if (!event.local) this.#undo.otherChanged();
    }
    this.#pendingPaths = undefined;
    this.conflicts.changed();
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
      callAll(this.#subscribers, this.#news());
    });
  }

  /** @internal Nothing more will come. */
  ended(): void {
    this.#closed = true;
    this.#subscribers.clear();
    this.conflicts.ended();
    this.#settle();
  }

  #check(): void {
    if (this.#closed) throw new RejoinError("closed", "the document is closed");
  }

  #news(): News {
    const shown = this.#read();
    const known = new Map<Shown, readonly Patch[]>();
    const between = (before: Shown) => {
      const patches = known.get(before) ?? (before === shown ? [] : diff(before, shown));
      known.set(before, patches);
      return patches;
    };
    return { shown, status: this.status, diff: between };
  }

  #read(): Shown {
    if (this.#stale && !this.#closed && !this.#driver.failed) {
      const shown = this.#show((engine, special) => engine.value(this.#id, special));
      // A copy in memory that proved damaged is loaded again; until then the last value stands.
      if (shown) {
        this.#shown = shown;
        this.#stale = false;
      }
    }
    if (!this.#shown) throw new RejoinError("not-ready", "the document is not loaded");
    return this.#shown;
  }

  #show(read: (engine: Replica, special: Special) => unknown): Shown | undefined {
    const kinds: Kinds = new WeakMap();
    const value = this.#driver.peek((engine) =>
      read(engine, (container, key, kind) => {
        const known = kinds.get(container) ?? new Map<string | number, "text" | "counter">();
        kinds.set(container, known.set(key, kind));
      }),
    );
    return value === undefined ? undefined : { value: value as object, kinds };
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

type Special = (container: object, key: string | number, kind: "text" | "counter") => void;

/** What subscribers make their snapshot of. */
type News = { shown: Shown; status: Status; diff: (before: Shown) => readonly Patch[] };

type Waiting = { reached: () => boolean; resolve: () => void; reject: (error: Error) => void };
