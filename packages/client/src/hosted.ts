/**
 * One document where the engine is: takes a page's edits, rebased over what has come since the page saw it, and tells what comes.
 *
 * Owns the value that the page mirrors and the edits that the page has not seen. Before the engine has the document its last seen value,
 * or what the server shows of it first, stands for it, and edits wait.
 */

import type { Driver } from "./driver.js";
import { RejoinError, storeFailed } from "./errors.js";
import { isDue } from "./conflicts/declared.js";
import type { EngineAnswer } from "./conflicts/list.js";
import type { Conflict, Told } from "./conflicts/types.js";
import { same, type Shown } from "./diff.js";
import { crossing, differences, nothing, shownOf, textAt, withInit, Writer } from "./mirror.js";
import { Numbers } from "./numbers.js";
import { rebase } from "./rebase.js";
import { isBare, marksAfter, shownBy } from "./shown.js";
import { failedWith, NOTHING, type Status } from "./status.js";
import { Undo } from "./undo.js";
import { codePoints } from "./values.js";
import type { Peer } from "./presence.js";
import { type Answer, type DocumentState, failureOf, type InitKey, type Kept, type Opening } from "./wire.js";
import { type Edit, type EngineEvent, type NewValue, type Path, type Replica, showView, type Version } from "./wasm/rejoin.js";

/** A value that has changed is kept for the next time after this time. */
const KEEP_AFTER_MS = 1_000;
/** The outbox is told at once as long as it has no more changes; a longer one once in so many milliseconds. */
const OUTBOX_AT_ONCE_MAX = 50;
const OUTBOX_EVERY_MS = 250;

/** A document that the engine has. */
type Engine = { driver: Driver; id: number; undo: Undo };

/** Longest rest after a batch. */
const REST_MS_MAX = 1_000;

/** Where it is: `opened` says which number the engine gave it, `keep` keeps its value for the next time where values are kept. */
type Context = {
  driver: Promise<Driver>;
  post: (answer: Answer) => void;
  opened: (engineId: number, document: Hosted) => void;
  keep: (view: () => Kept) => Promise<void>;
};

type PageEdit = { base: number; refused: number; change: number; edits: Edit[] };

export class Hosted {
  readonly name: string;
  /** The number by which the page knows it. */
  readonly id: number;
  /** Ends once the engine has it. */
  readonly loaded: Promise<void>;
  readonly #driver: Promise<Driver>;
  readonly #keepView: Context["keep"];
  readonly #post: (answer: Answer) => void;
  #engine: Engine | undefined;
  #shown: Shown;
  #version = 0;
  /** What has come and the page may not have seen. */
  #come: { version: number; edits: Edit[] }[] = [];
  #waiting: PageEdit[] = [];
  #refused = 0;
  readonly #numbers = new Numbers();
  #status: Status = { ...NOTHING, loading: true };
  #event: "ready" | RejoinError | undefined;
  #announced = false;
  /** The conflicts that the page knows, if it wants to know. */
  #conflicts: Told | undefined;
  #conflictsTold = false;
  /** The rules that the document declares, as the page knows, and those that the page has in force. */
  #declared: string | undefined;
  #rules: string | undefined;
  #outboxDue = 0;
  #outboxTimer: ReturnType<typeof setTimeout> | undefined;
  #keeping: ReturnType<typeof setTimeout> | undefined;
  /** A batch of what was received is due. */
  #due: ReturnType<typeof setTimeout> | undefined;
  #restUntil = 0;
  /** The page shows more than the engine has: what the server has shown, now or the last time, and not sent yet. */
  #ahead = false;
  /** The root keys that the page relies on. */
  #init: readonly InitKey[];
  #closed = false;

  constructor(
    id: number,
    name: string,
    init: readonly InitKey[],
    view: Kept | undefined,
    context: Context,
  ) {
    this.id = id;
    this.name = name;
    this.#driver = context.driver;
    this.#keepView = context.keep;
    this.#post = context.post;
    this.#shown = view ? withInit(shownOf(view), init) : nothing();
    this.#init = init;
    this.loaded = this.#load(context.opened);
  }

  async #load(opened: (id: number, document: Hosted) => void): Promise<void> {
    const driver = await this.#driver;
    if (this.#closed) return;
    const id = driver.turn((engine, now) => {
      const id = engine.open(now, this.name);
      opened(id, this);
      return id;
    });
    await driver.until(() => {
      if (this.#event instanceof RejoinError) throw this.#event;
      return this.#event;
    });
    if (this.#closed) return;
    const undo = new Undo({
      shown: () => this.#shown,
      cursor: (path, index) => driver.peek((engine) => engine.cursor(id, path, index, false)),
      cursors: (path, index, count) => driver.peek((engine) => engine.cursors(id, path, index, count)),
      exact: (path, cursor) => driver.peek((engine) => engine.exact(id, path, cursor)),
      position: (cursor) => driver.peek((engine) => engine.position(id, cursor)),
      edit: (edits) => {
        this.#numbers.engine = driver.turn((engine, now) => engine.change(now, Date.now(), id, edits));
        const done = this.#arrive((writer) => edits.map((edit) => writer.fromEngine(edit)).filter((edit) => edit !== undefined));
        this.#remark(done);
        return done;
      },
    });
    this.#engine = { driver, id, undo };
    this.init(this.#init);
    this.#doWaiting();
    this.announce();
  }

  /** Creates root keys, unless the document has them. */
  init(keys: readonly InitKey[]): void {
    const { driver, id } = this.#held;
    for (const { key, kind, start } of keys) driver.turn((engine, now) => engine.init(now, id, key, kind, start));
    this.#init = [...this.#init.filter(({ key }) => !keys.some((own) => own.key === key)), ...keys];
    if (this.#ahead) this.#show(withInit(this.#shown, keys));
    else this.#refresh();
  }

  /** As it is now; all that has come is in it. */
  opening(peers: readonly Peer[]): { opening: Opening; value: NewValue } {
    return { opening: { document: this.id, base: this.#version, state: this.state, peers }, value: this.#crossing };
  }

  /** What it shows, as it crosses to the page or is kept. */
  get #crossing(): NewValue {
    return crossing(this.#shown.value, undefined, this.#shown.kinds);
  }

  /** All but the value. */
  get state(): DocumentState {
    const engine = this.#engine;
    const { progress } = this.#status;
    if (engine && !engine.driver.closed) this.#status = engine.driver.status((replica) => replica.status(engine.id), this.#status);
    if (engine) this.#status = { ...this.#status, loading: this.#ahead, progress };
    const { canUndo = false, canRedo = false } = engine?.undo ?? {};
    const status = this.#due !== undefined && this.#status.state === "synced" ? { ...this.#status, state: "syncing" as const } : this.#status;
    return { status, outbox: this.#outbox(), ...this.#numbers.settled, canUndo, canRedo };
  }

  /** The page has all that came up to `base`. */
  seen(base: number): void {
    this.#come = this.#come.filter(({ version }) => version > base);
  }

  /** The page has edited its mirror. */
  edit(made: PageEdit): void {
    const { change, refused } = made;
    if (!this.#engine || this.#ahead) return void this.#waiting.push(made);
    this.seen(made.base);
    // It was made on top of what the page did not know to be refused.
    if (refused !== this.#refused) return this.#refuse(change, new RejoinError("refused", "an edit before it was refused"));
    let { edits } = made;
    for (const come of this.#come) [edits, come.edits] = rebase(edits, come.edits);
    const { driver, id, undo } = this.#engine;
    const before = this.#shown;
    const writer = new Writer(before);
    const done = edits.map((edit) => [edit, writer.toEngine(edit)] as const).filter(([, engine]) => engine);
    const after = writer.done();
    try {
      if (done.length > 0) this.#numbers.engine = driver.turn((engine, now) => engine.change(now, Date.now(), id, done.map(([, edit]) => edit as Edit)));
    } catch (error) {
      if (driver.ended) throw error;
      return this.#refuse(change, error);
    }
    this.#shown = after;
    undo.changed(before, done.map(([edit]) => edit), driver.now());
    this.#numbers.made(change);
    try {
      this.declare(true);
    } catch {
      // The edit is made; the next one tries again.
    }
    this.#keep();
    this.#post({ kind: "done", document: this.id, change, edits: done.map(([edit]) => edit), refused: undefined, state: this.state });
    this.#remark(done.map(([edit]) => edit));
  }

  /** What edits have made of marks, of which only the engine knows all. */
  #remark(edits: readonly Edit[]): void {
    const marks = marksAfter(this.#shown, edits, (path) => this.#ask((engine, id) => engine.marks(id, path)));
    this.#arrive((writer) => marks.filter((edit) => writer.do(edit)));
  }

  #refuse(change: number, error: unknown): void {
    this.#refused += 1;
    this.#post({ kind: "done", document: this.id, change, edits: [], refused: failureOf(error), state: this.state });
  }

  /** Something has come from elsewhere; gives the page what leads to it. */
  #arrive(write: (writer: Writer) => Edit[]): Edit[] {
    const writer = new Writer(this.#shown);
    const edits = write(writer);
    this.#shown = writer.done();
    if (edits.length === 0) return edits;
    this.#version += 1;
    this.#come.push({ version: this.#version, edits });
    this.#post({ kind: "come", document: this.id, edits });
    this.#keep();
    return edits;
  }

  /** Something was received. A batch of any size costs about as much as one change, so they wait as long as the last batch has cost. */
  #received(): void {
    if (!this.#engine || this.#due !== undefined) return;
    const wait = this.#restUntil - this.#engine.driver.now();
    if (wait <= 0) return this.#refresh();
    this.#due = setTimeout(() => {
      this.#refresh();
      this.announce();
    }, wait);
  }

  /** Brings the value up to what the engine has. */
  #refresh(): void {
    clearTimeout(this.#due);
    this.#due = undefined;
    if (!this.#engine || this.#engine.driver.ended || this.#ahead) return;
    const { driver, id } = this.#engine;
    const begun = driver.now();
    driver.turn((engine, now) => engine.applyWaiting(now, id));
    const shown = this.#ownValue();
    // A copy in memory that proved damaged is loaded again; until then the last value stands.
    if (shown) this.#show(shown);
    const now = driver.now();
    this.#restUntil = now + Math.min(now - begun, REST_MS_MAX);
  }

  handle(event: EngineEvent): void {
    if (event.kind === "ready") this.#event = "ready";
    if (event.kind === "failed") {
      this.#event = storeFailed(event);
      this.#status = failedWith(this.#event, this.#status);
    }
    if (event.kind === "saved") this.#numbers.reached("saved", event.change);
    if (event.kind === "acknowledged") this.#numbers.reached("acknowledged", event.change);
    if (event.kind === "changed" && !event.local) {
      this.#engine?.undo.otherChanged();
      if (!this.#ahead) this.#received();
    }
    if (event.kind === "view") this.#showView(event.view);
    else if (this.#ahead && this.#engine && this.#own.state === "synced") this.#caughtUp();
    if (event.kind === "progress") {
      const progress = event.done < event.total ? event.done / event.total : undefined;
      this.#status = { ...this.#status, progress };
    }
    this.announce();
  }

  #show(shown: Shown): void {
    const edits = differences(this.#shown, shown);
    this.#arrive((writer) => edits.filter((edit) => writer.do(edit)));
  }

  /**
   * The server shows what it has before it sends all of it: until then that stands for the document, and edits wait. Not where something was
   * written on this device before: that is not in it, and stays in sight.
   */
  #showView(view: Uint8Array): void {
    if (!this.#engine || !(this.#ahead || this.#isBare())) return;
    const shown = shownBy((special) => showView(view, special));
    if (!shown) return;
    this.#ahead = true;
    this.#show(withInit(shown, this.#init));
  }

  /** Whether the engine has nothing of the document, neither the server's nor this device's own. */
  #isBare(): boolean {
    if (this.#ask((engine, id) => engine.holds(id)?.cursor) || this.#own.state === "synced") return false;
    const shown = this.#ownValue();
    return !shown || isBare(shown, this.#init);
  }

  /** How the document stands in the engine. What was shown ahead of it is there once that is `synced`: a part of it is older than what was seen. */
  get #own(): Status {
    return this.#held.driver.status((engine) => engine.status(this.#held.id), this.#status);
  }

  #ownValue(): Shown | undefined {
    return shownBy((special) => this.#ask((engine, id) => engine.value(id, special)));
  }

  /** What the engine has stands for the document from now on. */
  #caughtUp(): void {
    this.#ahead = false;
    this.#status = { ...this.#status, progress: undefined };
    this.#refresh();
    this.#doWaiting();
    this.#keep();
  }

  #doWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const edit of waiting) this.edit(edit);
  }

  /** Edits that the engine does not have, and can't have yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** What the engine says of the page's own history. */
  undo(back: boolean): boolean {
    const { undo } = this.#held;
    const undone = back ? undo.undo() : undo.redo();
    this.announce();
    return undone;
  }

  cursor(base: number, path: Path, index: number): string {
    this.seen(base);
    const { driver, id } = this.#held;
    // A place that the page names moves as an edit made there would.
    const isText = textAt(this.#shown, path) !== undefined;
    let place: Edit[] = isText ? [["text", path, index, 0, " "]] : [["splice", path, index, 0, [null]]];
    for (const { edits } of this.#come) [place] = rebase(place, edits);
    const [only] = place;
    if (!only) throw new RejoinError("bad-value", "the place is gone");
    const text = isText ? textAt(this.#shown, only[1]) : undefined;
    const at = only[2] as number;
    return driver.peek((engine) => engine.cursor(id, only[1], text === undefined ? at : codePoints(text, 0, at), false));
  }

  position(cursor: string): number | undefined {
    // It may stand in what is received and not applied yet.
    if (this.#due !== undefined) this.#refresh();
    return this.#ask((engine, id) => engine.position(id, cursor));
  }

  history(): Version[] {
    return this.#ask((engine, id) => engine.history(id));
  }

  at(change: string): NewValue {
    const { driver, id } = this.#held;
    const shown = shownBy((special) => driver.peek((engine) => engine.valueAt(id, change, special)));
    if (!shown) throw new RejoinError("bad-value", `the document has no change ${change}`);
    return crossing(shown.value, undefined, shown.kinds);
  }

  settle(change: string, again: boolean): boolean {
    const { driver, id } = this.#held;
    const done = driver.turn((engine, now) => (again ? engine.retry(now, id, change) : engine.discard(now, id, change)));
    this.#refresh();
    return done;
  }

  /** From now on the page is told of conflicts. */
  watchConflicts(): void {
    this.#conflicts ??= { conflicts: [], more: 0 };
    this.announce();
  }

  resolve(conflict: string, version: number, answer: EngineAnswer, note: string | undefined): void {
    const { driver, id } = this.#held;
    driver.turn((engine, now) => engine.resolveConflict(now, Date.now(), id, conflict, version, answer, note));
    this.#otherwise();
  }

  conflict(conflict: string): Conflict | undefined {
    return this.#ask((engine, id) => engine.conflicts(id, conflict).conflicts[0]);
  }

  reopen(conflict: string): void {
    const { driver, id } = this.#held;
    driver.turn((engine, now) => engine.reopenConflict(now, Date.now(), id, conflict));
    this.#otherwise();
  }

  /** The page has these rules in force; they are declared with its next edit, if they are due. */
  setRules(text: string | undefined): void {
    this.#rules = text;
  }

  /** Declares the page's rules: whatever is declared, or after an edit, if they are due. */
  declare(onlyDue = false): boolean {
    const rules = this.#rules;
    if (rules === undefined || (onlyDue && !isDue(rules, this.#ask((engine, id) => engine.declared(id))))) return false;
    const { driver, id } = this.#held;
    const isWritten = driver.turn((engine, now) => engine.declare(now, Date.now(), id, rules));
    this.announce();
    return isWritten;
  }

  /** What was written is not the page's typing, and comes to it as what others write does. */
  #otherwise(): void {
    this.#held.undo.otherChanged();
    this.#refresh();
    this.announce();
  }

  pending(): Path[] {
    return this.#ask((engine, id) => engine.pendingPaths(id));
  }

  export(): Uint8Array {
    return this.#ask((engine, id) => engine.export(id));
  }

  get #held(): Engine {
    if (!this.#engine) throw new RejoinError("not-ready", "the document is not loaded");
    return this.#engine;
  }

  #ask<R>(ask: (engine: Replica, id: number) => R): R {
    const { driver, id } = this.#held;
    return driver.peek((engine) => ask(engine, id));
  }

  #outbox(): DocumentState["outbox"] {
    const engine = this.#engine;
    if (!engine || engine.driver.ended) return undefined;
    const { pending, rejected } = this.#status;
    const wait = this.#outboxDue - engine.driver.now();
    if (pending + rejected > OUTBOX_AT_ONCE_MAX && wait > 0) {
      this.#outboxTimer ??= setTimeout(() => {
        this.#outboxTimer = undefined;
        this.announce();
      }, wait);
      return undefined;
    }
    this.#outboxDue = engine.driver.now() + OUTBOX_EVERY_MS;
    return engine.driver.peek((replica) => replica.outbox(engine.id));
  }

  /** Tells the page where it stands, once for all that happens together. */
  announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    queueMicrotask(() => {
      this.#announced = false;
      if (this.#closed) return;
      this.#post({ kind: "state", document: this.id, state: this.state });
      this.#tellConflicts();
    });
  }

  #tellConflicts(): void {
    const engine = this.#engine;
    if (!this.#conflicts || !engine || engine.driver.ended) return;
    const told = engine.driver.peek((replica) => replica.conflicts(engine.id));
    const declared = engine.driver.peek((replica) => replica.declared(engine.id));
    if (this.#conflictsTold && declared === this.#declared && same(told, this.#conflicts, new WeakMap(), new WeakMap())) return;
    [this.#conflicts, this.#declared, this.#conflictsTold] = [told, declared, true];
    this.#post({ kind: "conflicts", document: this.id, ...told, declared });
  }

  #keep(): void {
    // What was only shown is not kept: nobody could edit it who opens it from there.
    if (this.#engine && !this.#ahead) this.#keeping ??= setTimeout(() => void this.keep(), KEEP_AFTER_MS);
  }

  /** Keeps the value for the next time, if it has changed since. */
  async keep(): Promise<void> {
    if (this.#keeping === undefined) return;
    clearTimeout(this.#keeping);
    this.#keeping = undefined;
    await this.#keepView(() => this.#crossing as Kept);
  }

  /** The page has closed it. What is not saved yet still will be, but for edits that wait for its history; gives how many. */
  async close(): Promise<number> {
    await this.loaded.catch(() => undefined);
    void this.keep();
    this.#closed = true;
    clearTimeout(this.#outboxTimer);
    clearTimeout(this.#due);
    const engine = this.#engine;
    if (engine && !engine.driver.ended) engine.driver.turn((replica) => replica.close(engine.id));
    return this.waiting;
  }
}
