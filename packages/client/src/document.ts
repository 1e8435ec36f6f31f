/** An open document as a page holds it: a mirror of the value, edited at once; what it takes to settle edits is in the worker. */

import type { Channel } from "./channel.js";
import { Conflicts } from "./conflicts/list.js";
import { lookUp } from "./conflicts/project.js";
import { type Conflict, isWithin } from "./conflicts/types.js";
import { diff, type Patch, type Shown } from "./diff.js";
import { record } from "./draft.js";
import { RejoinError } from "./errors.js";
import { callAll, listen } from "./listeners.js";
import { checkEdits, OPERATIONS_MAX, OUTBOX_CHANGES_MAX } from "./limits.js";
import { marksOf } from "./marks.js";
import { differences, edited, kindAt, shownOf } from "./mirror.js";
import { Presence } from "./presence.js";
import { bringing, rebase } from "./rebase.js";
import { failedWith, type Status, withEdits } from "./status.js";
import type { Value } from "./values.js";
import { type Answer, type DocumentState, errorOf, type InitKey, type Opening } from "./wire.js";
import type { Edit, Mark, NewValue, OutboxEntry, Path, Version } from "./wasm/rejoin.js";

/** Typing in one text becomes one change as long as it pauses no longer than this, and goes on no longer than that. */
const PAUSE_MS = 50;
const BURST_MS_MAX = 100;
/** The worker is told how much the page has seen of what came, once for so many batches. */
const SEEN_EVERY = 16;

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

/** Edits that the worker has not answered, and how many bring something. Only the last one may still grow. */
type Burst = { first: number; change: number; edits: Edit[]; operations: number; brings: number; posted: boolean; begunAt: number; typing: string | undefined };

type Context = { edited: () => void; close: () => boolean };

type Heard = Extract<Answer, { kind: "come" | "done" | "state" | "peers" | "conflicts" }>;

/** A document of type `T`, in which presence is of type `P`. */
export class SyncDocument<T extends object = Record<string, unknown>, P = unknown> {
  /** The document's name. */
  readonly name: string;
  /** Who else has the document open, and what they say of themselves. */
  readonly presence: Presence<P>;
  /** What merging has hidden, and what the server refused. */
  readonly conflicts: Conflicts;
  readonly #channel: Channel;
  readonly #id: number;
  readonly #context: Context;
  readonly #subscribers = new Set<(news: News) => void>();
  readonly #waiting = new Set<Waiting>();
  readonly #refused = new Map<number, Error>();
  /** The value as the worker has it, for what this page has seen. */
  #base: Shown;
  /** How many batches that came from elsewhere are in it. */
  #seen: number;
  #refusals = 0;
  #bursts: Burst[] = [];
  #shown: Shown;
  #state: DocumentState;
  #outbox: readonly OutboxEntry[];
  #change = 0;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #announced = false;
  #failure: Error | undefined;
  /** Why nothing can be edited any more. */
  #refusal: Error | undefined;
  #closed = false;

  /** @internal */
  constructor(channel: Channel, name: string, shown: Shown, opening: Opening, context: Context) {
    this.#channel = channel;
    this.name = name;
    this.#id = opening.document;
    this.#context = context;
    this.#base = shown;
    this.#shown = shown;
    this.#seen = opening.base;
    this.#state = opening.state;
    this.#outbox = opening.state.outbox ?? [];
    const document = this.#id;
    this.conflicts = new Conflicts({
      watch: () => channel.send({ kind: "conflicts", document }),
      resolve: (conflict, version, answer, note) => this.#ask({ do: "resolve", document, conflict, version, answer, note }),
      reopen: (conflict) => this.#ask({ do: "reopen", document, conflict }),
      get: (conflict) => this.#ask({ do: "conflict", document, conflict }),
      rules: (text) => channel.send({ kind: "rules", document, text }),
      declare: () => this.#ask({ do: "declare", document }),
    });
    this.presence = new Presence<P>((value, ttl) => channel.send({ kind: "presence", document, value, ttl }), opening.peers);
  }

  /** The value now, own edits included; frozen. Another object after each change. */
  get value(): Value<T> {
    return this.#shown.value as Value<T>;
  }

  /**
   * What is said of ranges of the text at `path`, by name and in order; none if there is no text. The same list as long as no mark has
   * changed or moved. A patch of kind `mark` tells of one that changes.
   */
  marks(path: Path): readonly Mark[] {
    return marksOf(kindAt(this.#shown, path));
  }

  /** Where the document stands. */
  get status(): Status {
    this.#check();
    const { all, unsaved } = this.edits;
    return withEdits(this.#state.status, all, unsaved);
  }

  /** The changes that the server is not known to have, oldest first, rejected ones last. What was edited in the last moment is not yet a change. */
  get outbox(): readonly OutboxEntry[] {
    return this.#outbox;
  }

  /**
   * Edits the document at once, with or without a network: all that `write` does to the draft is one change. If it throws, or the
   * change is refused, nothing is changed. Gives an id to wait for. Typing in one text without a pause becomes one change.
   */
  change(write: (draft: T) => void): ChangeId {
    this.#check();
    if (this.#refusal) throw this.#refusal;
    return this.#write(record(this.#shown.value, this.#shown.kinds, write));
  }

  #write(edits: Edit[]): ChangeId {
    const operations = checkEdits(edits);
    const { pending, rejected } = this.status;
    if (pending + rejected >= OUTBOX_CHANGES_MAX) throw new RejoinError("outbox-full", "the outbox is full");
    if (edits.length === 0) return this.#change as ChangeId;
    this.#change += 1;
    this.#shown = edited(this.#shown, edits);
    this.#add(edits, operations);
    this.announce();
    return this.#change as ChangeId;
  }

  /** Ends the burst of typing that goes on: it becomes a change now. */
  commit(): void {
    clearTimeout(this.#pause);
    const burst = this.#bursts.at(-1);
    if (!burst || burst.posted || this.#failure) return;
    burst.posted = true;
    const { change, edits } = burst;
    this.#channel.send({ kind: "edit", document: this.#id, base: this.#seen, refused: this.#refusals, change, edits });
  }

  /**
   * Takes back the last of this page's own changes of which anything is left, as another change. What others have changed since stays:
   * a key is put back only if it still holds what was put there, and of texts and lists only what was inserted here goes. Typing without
   * a pause is one change. False if there is none.
   */
  undo(): Promise<boolean> {
    return this.#ask({ do: "undo", document: this.#id });
  }

  /** Takes back the last `undo`, unless something was changed here since. False if there is none. */
  redo(): Promise<boolean> {
    return this.#ask({ do: "redo", document: this.#id });
  }

  /** Whether this page has changed something that was not undone. */
  get canUndo(): boolean {
    return this.#state.canUndo || this.#bursts.length > 0;
  }

  /** Whether something was undone, and nothing changed since. */
  get canRedo(): boolean {
    return this.#state.canRedo && this.#bursts.length === 0;
  }

  /**
   * A cursor for the character or element at `index` of the text or list at `path`, such as `["notes", 0, "body"]`; for the end if it is
   * there. If what it stands at is removed it stands at what comes next.
   */
  async cursor(path: Path, index: number): Promise<Cursor> {
    this.#check();
    this.commit();
    return this.#ask<Cursor>({ do: "cursor", document: this.#id, base: this.#seen, path, index });
  }

  /** Where a cursor stands now, made here or elsewhere. `undefined` if the document does not have its place, or not yet. */
  position(cursor: Cursor): Promise<number | undefined> {
    return this.#ask({ do: "position", document: this.#id, cursor });
  }

  /** What stands at `path`, with the answers of rules; whether there is a conflict; and whether the server has it. */
  async inspect(path: Path): Promise<Inspection> {
    const paths = await this.#ask<Path[]>({ do: "pending", document: this.#id });
    const listed = await this.conflicts.listed;
    const conflict = listed.find(({ path: place, state, gone, mark }) => !gone && isWithin(path, mark ? place.slice(0, -1) : place) && (state === "open" || state === "projected"));
    const pending = paths.some((place) => isWithin(place, path) || isWithin(path, place));
    return { value: lookUp(this.conflicts.project(this.value), path), conflict, pending };
  }

  /** All changes that this device has, each after those that its author had seen. */
  get history(): Promise<readonly Version[]> {
    return this.#ask({ do: "history", document: this.#id });
  }

  /** The value as the author of a change saw it, that change included; what others did meanwhile is not in it. */
  async at(change: string): Promise<Value<T>> {
    return (await this.#at(change)).value as Value<T>;
  }

  async #at(change: string): Promise<Shown> {
    return shownOf(await this.#ask<NewValue>({ do: "at", document: this.#id, change }));
  }

  /** What leads from the version of one change to that of another, or to the value now. */
  async diff(from: string, to?: string): Promise<readonly Patch[]> {
    const [before, after] = await Promise.all([this.#at(from), to === undefined ? undefined : this.#at(to)]);
    return diff(before, after ?? this.#shown);
  }

  /**
   * Brings back the value as it was at a change, by a new change of this page, which can be undone like any other: nothing leaves the
   * history. What is the same then and now is not touched, so that what others write there meanwhile stays.
   */
  async restore(change: string): Promise<ChangeId> {
    const then = await this.#at(change);
    this.#check();
    if (this.#refusal) throw this.#refusal;
    return this.#write(differences(this.#shown, then));
  }

  /** Waits until an edit is saved on this device, from where it survives any crash. */
  saved(change: ChangeId): Promise<void> {
    return this.#wait(change, () => this.#state.saved >= change);
  }

  /**
   * Waits until the server has answered an edit: it is saved there, or was rejected, which `status` counts and `outbox` shows. Waits
   * as long as there is no network.
   */
  acknowledged(change: ChangeId): Promise<void> {
    return this.#wait(change, () => this.#state.acknowledged >= change);
  }

  /**
   * Calls `listener` now, and once after each batch of changes of value or status, whoever made them. Gives what ends the subscription.
   */
  subscribe(listener: (snapshot: Snapshot<T>) => void): () => void {
    this.#check();
    let last = this.#shown;
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
    return listen(this.#subscribers, subscriber, this.#news());
  }

  /** Writes a rejected change again and pushes it once more. False if there is no such change, or nothing of it can be written. */
  retry(change: string): Promise<boolean> {
    return this.#ask({ do: "retry", document: this.#id, change });
  }

  /** Lets a rejected change go, or takes back one that was not sent. What was edited on top of it is kept. False if there is none. */
  discard(change: string): Promise<boolean> {
    return this.#ask({ do: "discard", document: this.#id, change });
  }

  /**
   * The outbox as automerge's change chunks, one behind the other, for the user to keep elsewhere. Behind them what waits for the history, or found
   * no place in it, as lines of JSON, each a `WaitingLine`: the value that it was made on (`base`), and the edits of each change in order
   * (`entries`). Waits until the document is loaded.
   */
  export(): Promise<Uint8Array> {
    return this.#ask({ do: "export", document: this.#id });
  }

  /**
   * Closes the document, if it was opened no more often than it was closed. What is not saved yet still will be, and what is unsent is sent when it
   * is open again. Where this device has no room for edits that wait for its history (`status.loading`) they are lost, and the page's `error` event
   * says so.
   */
  close(): void {
    if (this.#closed) return;
    this.commit();
    if (this.#context.close()) this.ended();
  }

  /** @internal Edits that the engine does not have yet, and those of them that are not kept on this device. */
  get edits(): { all: number; unsaved: number } {
    return { all: this.#bursts.length, unsaved: this.#bursts.filter(({ change }) => change > this.#state.saved).length };
  }

  /** @internal Creates root keys. */
  async init(init: InitKey[]): Promise<void> {
    if (init.length > 0) await this.#ask({ do: "init", document: this.#id, init });
  }

  /** @internal */
  handle(heard: Heard): void {
    if (this.#closed) return;
    if (heard.kind === "peers") return this.presence.heard(heard.peers);
    if (heard.kind === "conflicts") return this.conflicts.heard(heard.conflicts, heard.declared, heard.more);
    if (heard.kind === "come") this.#came(heard.edits);
    if (heard.kind === "done") this.#answered(heard);
    if (heard.kind !== "come") {
      this.#state = heard.state;
      this.#outbox = heard.state.outbox ?? this.#outbox;
    }
    this.#settle();
    this.announce();
  }

  /** @internal */
  announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    this.#context.edited();
    queueMicrotask(() => {
      this.#announced = false;
      if (this.#closed || this.#subscribers.size === 0) return;
      callAll(this.#subscribers, this.#news());
    });
  }

  /** @internal Nothing more is to be edited; what was is on its way. */
  stops(why: Error): void {
    this.#refusal = why;
    this.commit();
  }

  /** @internal The engine has stopped. */
  failed(error: Error): void {
    this.#refusal = this.#failure = error;
    this.#state = { ...this.#state, status: failedWith(error, this.#state.status) };
    this.conflicts.failed(error);
    this.#settle();
    this.announce();
  }

  /** @internal Nothing more will come. */
  ended(): void {
    this.#closed = true;
    clearTimeout(this.#pause);
    this.#subscribers.clear();
    this.presence.ended();
    this.conflicts.ended();
    this.conflicts.failed(new RejoinError("closed", "the document is closed"));
    this.#settle();
  }

  #check(): void {
    if (this.#closed) throw new RejoinError("closed", "the document is closed");
  }

  async #ask<R>(ask: Parameters<Channel["call"]>[0]): Promise<R> {
    this.#check();
    if (this.#refusal) throw this.#refusal;
    this.commit();
    return this.#channel.call<R>(ask);
  }

  /** Keeps edits until they are a change: those of one burst of typing together. */
  #add(edits: Edit[], operations: number): void {
    const now = performance.now();
    const typing = typedIn(edits);
    const last = this.#bursts.at(-1);
    const fits = last && last.operations + operations <= OPERATIONS_MAX;
    if (fits && !last.posted && typing !== undefined && last.typing === typing) {
      last.edits = [...last.edits, ...edits];
      last.operations += operations;
      last.brings += bringing(edits);
      last.change = this.#change;
    } else {
      this.commit();
      this.#bursts.push({ first: this.#change, change: this.#change, edits, operations, brings: bringing(edits), posted: false, begunAt: now, typing });
    }
    clearTimeout(this.#pause);
    const { begunAt } = this.#bursts.at(-1) as Burst;
    const hidden = globalThis.document?.hidden;
    const wait = typing === undefined || hidden ? 0 : Math.min(PAUSE_MS, begunAt + BURST_MS_MAX - now);
    if (wait > 0) this.#pause = setTimeout(() => this.commit(), wait);
    else this.commit();
  }

  /** What has come from elsewhere goes below what was edited here and is not answered yet. */
  #came(edits: Edit[]): void {
    let come = edits;
    for (const burst of this.#bursts) [burst.edits, come] = rebase(burst.edits, come);
    this.#seen += 1;
    this.#base = edited(this.#base, edits);
    this.#show();
    if (this.#seen % SEEN_EVERY === 0) this.#channel.send({ kind: "seen", document: this.#id, base: this.#seen });
  }

  #answered({ change, edits, refused }: Extract<Heard, { kind: "done" }>): void {
    if (refused) this.#refuse(change, errorOf(refused));
    else {
      const done = this.#bursts.filter((burst) => burst.change <= change);
      this.#bursts = this.#bursts.filter((burst) => burst.change > change);
      const brought = done.reduce((sum, { brings }) => sum + brings, 0);
      if (brought > bringing(edits)) this.#fail(done, new RejoinError("place-gone", "what was edited is not there any more"));
    }
    this.#base = edited(this.#base, edits);
    this.#show();
  }

  /** What was edited on top of what was refused has no ground any more. */
  #refuse(change: number, error: Error): void {
    this.#refusals += 1;
    const gone = this.#bursts.filter((burst) => burst.change <= change || !burst.posted);
    this.#bursts = this.#bursts.filter((burst) => !gone.includes(burst));
    this.#fail(gone, error);
  }

  /** Edits are not in the document, or not all of them: who waits for them is told, and who looks for the page's errors. */
  #fail(bursts: readonly Burst[], error: Error): void {
    for (const { first, change: last } of bursts) for (let id = first; id <= last; id += 1) this.#refused.set(id, error);
    reportError(error);
  }

  #show(): void {
    this.#shown = this.#bursts.reduce((shown, { edits }) => edited(shown, edits), this.#base);
  }

  #news(): News {
    const shown = this.#shown;
    const known = new Map<Shown, readonly Patch[]>();
    const between = (before: Shown) => {
      const patches = known.get(before) ?? (before === shown ? [] : diff(before, shown));
      known.set(before, patches);
      return patches;
    };
    return { shown, status: this.status, diff: between };
  }

  #wait(change: number, reached: () => boolean): Promise<void> {
    this.commit();
    return new Promise((resolve, reject) => {
      this.#waiting.add({ change, reached, resolve, reject });
      this.#settle();
    });
  }

  #settle(): void {
    for (const waiting of this.#waiting) {
      const error = this.#why(waiting);
      if (error === null) continue;
      this.#waiting.delete(waiting);
      if (error) waiting.reject(error);
      else waiting.resolve();
    }
  }

  /** Why a wait is over: reached, or in vain; `null` if it is not. */
  #why({ change, reached }: Waiting): Error | undefined | null {
    const refused = this.#refused.get(change);
    if (refused) return refused;
    if (reached()) return undefined;
    if (this.#failure) return this.#failure;
    return this.#closed ? new RejoinError("closed", "the document is closed") : null;
  }
}

/** The text that edits are typed in, if they are nothing else. */
function typedIn(edits: readonly Edit[]): string | undefined {
  const [first] = edits;
  const place = JSON.stringify(first?.[1]);
  return edits.every((edit) => edit[0] === "text" && JSON.stringify(edit[1]) === place) ? place : undefined;
}

/** What subscribers make their snapshot of. */
type News = { shown: Shown; status: Status; diff: (before: Shown) => readonly Patch[] };

type Waiting = { change: number; reached: () => boolean; resolve: () => void; reject: (error: Error) => void };
