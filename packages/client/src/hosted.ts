/**
 * One document where the engine is: takes a page's edits, rebased over what has come since the page saw it, and tells what comes.
 *
 * Owns the value that the page mirrors and the edits that the page has not seen. Before the engine has the document its last seen value,
 * or what the server shows of it first, stands for it, and edits wait: kept on this device, so that they survive the page.
 */

import type { Driver } from "./driver.js";
import { RejoinError, storeFailed } from "./errors.js";
import { HostedConflicts } from "./conflicts/hosted.js";
import type { Shown } from "./diff.js";
import { crossing, differences, nothing, placeAfter, shownOf, withInit, Writer } from "./mirror.js";
import { Numbers } from "./numbers.js";
import { bringing, rebase } from "./rebase.js";
import { OutboxPace } from "./outbox.js";
import type { Shelf } from "./shelf.js";
import { isBare, marksAfter, shownBy } from "./shown.js";
import { failedWith, NOTHING, type Status } from "./status.js";
import { Undo } from "./undo.js";
import type { Peer } from "./presence.js";
import { across, before, end, keep, type PageEdit, refuse, replay, Waiting, type WaitingEdit } from "./waiting.js";
import { type Answer, type DocumentState, failureOf, type InitKey, type Kept, type Opening, type Request } from "./wire.js";
import { type Edit, type EngineEvent, type NewValue, type Path, type Replica, showView } from "./wasm/rejoin.js";

/** A value that has changed is kept for the next time after this time. */
const KEEP_AFTER_MS = 1_000;
/** Longest rest after a batch. */
const REST_MS_MAX = 1_000;

/** A document that the engine has. */
type Engine = { driver: Driver; id: number; undo: Undo };

/** Where it is: `opened` says which number the engine gave it, `keep` keeps its value for the next time where values are kept. */
type Context = {
  driver: Promise<Driver>;
  post: (answer: Answer) => void;
  opened: (engineId: number, document: Hosted) => void;
  keep: (view: () => Kept) => Promise<void>;
  shelf: Shelf;
  /** Called when what waits is another: then a client's status is, too. */
  changed: () => void;
};

export class Hosted {
  readonly name: string;
  /** The number by which the page knows it. */
  readonly id: number;
  readonly conflicts: HostedConflicts;
  readonly waiting: Waiting;
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
  /** There may be edits of earlier page loads that nobody has. */
  #found = false;
  #refused = 0;
  readonly #numbers = new Numbers();
  #status: Status = { ...NOTHING, loading: true };
  #event: "ready" | RejoinError | undefined;
  #announced = false;
  readonly #outboxPace = new OutboxPace(() => this.announce());
  #keeping: ReturnType<typeof setTimeout> | undefined;
  /** A batch of what was received is due. */
  #due: ReturnType<typeof setTimeout> | undefined;
  #restUntil = 0;
  /** The page shows more than the engine has: what the server has shown and not sent yet; where in its log that is; and what it showed too early. */
  #ahead = false;
  #at = 0;
  #early: (() => void) | undefined;
  /** The root keys that the page relies on. */
  #init: readonly InitKey[];
  #closed = false;

  constructor(id: number, name: string, init: readonly InitKey[], view: Kept | undefined, context: Context) {
    this.id = id;
    this.name = name;
    this.#driver = context.driver;
    this.#keepView = context.keep;
    this.#post = context.post;
    this.#shown = view ? withInit(shownOf(view), init) : nothing();
    this.#init = init;
    this.conflicts = new HostedConflicts({
      document: id,
      engine: () => this.#held,
      post: context.post,
      written: () => this.#otherwise(),
      announce: () => this.announce(),
    });
    this.waiting = new Waiting(context.shelf, name, () => {
      this.#numbers.kept(this.waiting.kept);
      this.announce();
      context.changed();
    });
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
    await this.#adopt();
    this.#early?.();
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
    const isDue = this.#due !== undefined && this.#status.state === "synced";
    const status = this.waiting.counted(isDue ? { ...this.#status, state: "syncing" } : this.#status);
    return { status, outbox: this.#outbox(), ...this.#numbers.settled, canUndo, canRedo };
  }

  /** The page has all that came up to `base`. */
  seen(base: number): void {
    this.#come = this.#come.filter(({ version }) => version > base);
  }

  /** The page has edited its mirror. */
  edit({ base, refused, change, edits }: Extract<Request, { kind: "edit" }>): void {
    this.seen(base);
    // It was made on top of what the page did not know to be refused.
    if (refused !== this.#refused) return this.#refuse(change, before());
    let own = edits;
    for (const come of this.#come) [own, come.edits] = rebase(own, come.edits);
    const made = { change, refused, edits: own, brings: bringing(edits), time: Date.now() };
    if (this.#engine && !this.#ahead && !this.waiting.any) this.#make(made);
    else this.waiting.add(made, () => ({ at: this.#at, value: this.#crossing as Kept }));
  }

  #make(made: PageEdit): void {
    const { driver, undo } = this.#held;
    const { change, kept } = made;
    const shown = this.#shown;
    let done: Edit[];
    try {
      if (made.refused !== this.#refused) throw before();
      [this.#shown, done] = this.#write(shown, made);
    } catch (error) {
      if (driver.ended) throw error;
      if (kept) refuse(kept, error as Error);
      return this.#refuse(change, error);
    }
    undo.changed(shown, done, driver.now());
    this.#numbers.made(change);
    try {
      this.conflicts.declare(true);
    } catch {
      // The edit is made; the next one tries again.
    }
    this.#keep();
    this.#post({ kind: "done", document: this.id, change, edits: done, refused: undefined, state: this.state });
    this.#remark(done);
  }

  /** Makes edits a change, on top of what is shown; gives what is shown then, and those of the edits that have a place. */
  #write(shown: Shown, { edits, brings, time, kept }: WaitingEdit): [Shown, Edit[]] {
    const { driver, id } = this.#held;
    const writer = new Writer(shown);
    const made = edits.map((edit) => [edit, writer.toEngine(edit)] as const).filter(([, engine]) => engine);
    const after = writer.done();
    const done = made.map(([edit]) => edit);
    const row = kept && end(kept, brings > bringing(done));
    if (done.length > 0) {
      this.#numbers.engine = driver.turn((engine, now) => engine.change(now, time, id, made.map(([, edit]) => edit as Edit), row?.[0], row?.[1]));
    } else if (kept) keep(kept);
    return [after, done];
  }

  /** What edits have made of marks, of which only the engine knows all. */
  #remark(edits: readonly Edit[]): void {
    const marks = marksAfter(this.#shown, edits, (path) => this.ask((engine, id) => engine.marks(id, path)));
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
    this.#come.push({ version: this.#version, edits: this.waiting.come(edits) });
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
    if (event.kind === "saved") {
      this.#numbers.reached("saved", event.change);
      this.waiting.saved(event.change);
    }
    if (event.kind === "acknowledged") this.#numbers.reached("acknowledged", event.change);
    if (event.kind === "changed" && !event.local) {
      this.#engine?.undo.otherChanged();
      if (!this.#ahead) this.#received();
    }
    if (event.kind === "view") this.#showView(event.view, event.seq);
    else this.#catchUp();
    if (event.kind === "progress") {
      const progress = event.done < event.total ? event.done / event.total : undefined;
      this.#status = { ...this.#status, progress };
    }
    this.announce();
  }

  /** `ahead` is where in the log that is which the engine does not have yet. */
  #show(shown: Shown, ahead?: number): void {
    if (ahead !== undefined) [this.#ahead, this.#at] = [true, ahead];
    const edits = differences(this.#shown, shown);
    this.#arrive((writer) => edits.filter((edit) => writer.do(edit)));
  }

  /**
   * The server shows what it has before it sends all of it: until then that stands for the document, and edits wait. Not where something was
   * written on this device before: that is not in it, and stays in sight; nor where edits wait, which are kept with what they were made on.
   */
  #showView(view: Uint8Array, seq: number): void {
    if (!this.#engine) this.#early = () => this.#showView(view, seq);
    if (!this.#engine || this.waiting.shows || !(this.#ahead || this.#isBare())) return;
    const shown = shownBy((special) => showView(view, special));
    if (shown) this.#show(withInit(shown, this.#init), seq);
  }

  /** Whether the engine has nothing of the document, neither the server's nor this device's own. */
  #isBare(): boolean {
    if (this.ask((engine, id) => engine.holds(id)?.cursor) || this.#own.state === "synced") return false;
    const shown = this.#ownValue();
    return !shown || isBare(shown, this.#init);
  }

  /** How the document stands in the engine. */
  get #own(): Status {
    return this.#held.driver.status((engine) => engine.status(this.#held.id), this.#status);
  }

  #ownValue(): Shown | undefined {
    return shownBy((special) => this.ask((engine, id) => engine.value(id, special)));
  }

  /** What the engine has stands for the document once all is there that was shown ahead of it, and what waited for that becomes changes. */
  #catchUp(): void {
    const engine = this.#engine;
    if (!engine || engine.driver.ended || !(this.#ahead || this.waiting.adopted.length > 0)) return;
    const there = this.waiting.adopted.filter(({ series: { base } }) => !base || this.#has(base.at));
    const isThere = this.#ahead && this.#has(this.#at);
    if (there.length === 0 && !isThere) return;
    if (isThere) [this.#ahead, this.#status] = [false, { ...this.#status, progress: undefined }];
    engine.driver.turn((replica, now) => replica.applyWaiting(now, engine.id));
    this.waiting.adopted = this.waiting.adopted.filter((left) => !there.includes(left));
    for (const left of there) {
      const shown = this.#ownValue();
      if (shown) replay(left, shown, this.#init, (shown, edit) => this.#write(shown, edit)[0], () => engine.driver.ended);
      this.waiting.over(left.series, this.#numbers.engine);
    }
    this.#refresh();
    this.#doWaiting();
    this.#keep();
  }

  #doWaiting(): void {
    if (this.#ahead) return;
    this.waiting.each((edit) => this.#make(edit), () => this.#numbers.engine);
    this.waiting.saved(this.#numbers.saved);
  }

  /** There are edits of the document in the store that wait, of this page load or another one. */
  found(): void {
    this.#found = true;
    if (this.#engine && !this.#closed) void this.#adopt();
  }

  /** Shows what earlier page loads have left, as far as it is not known from elsewhere, and makes it changes once the history is there. */
  async #adopt(): Promise<void> {
    if (!this.#found) return;
    this.#found = false;
    const adopted = await this.waiting.adopt(() => this.found()).catch((error: unknown) => (reportError(error), []));
    if (this.#closed) return this.waiting.leave();
    if (this.#held.driver.ended) return;
    for (const left of adopted) {
      const { series: { base }, entries } = left;
      if (!base || this.#has(base.at) || !(this.#ahead || this.#isBare())) continue;
      const made = withInit(shownOf(base.value), this.#init);
      if (!this.#ahead) this.#show(made, base.at);
      const come = differences(made, this.#shown);
      if (come.length === 0) this.waiting.goOn(left);
      this.#arrive((writer) => across(entries, come).filter((edit) => writer.do(edit)));
    }
    this.#catchUp();
    this.announce();
  }

  /** Whether the engine has what stands in the log up to there, or all that there is. */
  #has(at: number): boolean {
    return at === 0 || (this.ask((engine, id) => engine.holds(id)?.cursor) ?? 0) >= at || this.#own.state === "synced";
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
    const place = placeAfter(this.#shown, path, index, this.#come);
    if (!place) throw new RejoinError("bad-value", "the place is gone");
    return driver.peek((engine) => engine.cursor(id, ...place, false));
  }

  position(cursor: string): number | undefined {
    // It may stand in what is received and not applied yet.
    if (this.#due !== undefined) this.#refresh();
    return this.ask((engine, id) => engine.position(id, cursor));
  }

  at(change: string): NewValue {
    const { driver, id } = this.#held;
    const shown = shownBy((special) => driver.peek((engine) => engine.valueAt(id, change, special)));
    if (!shown) throw new RejoinError("bad-value", `the document has no change ${change}`);
    return crossing(shown.value, undefined, shown.kinds);
  }

  settle(change: string, again: boolean): boolean {
    const { driver, id } = this.#held;
    const discarded = this.waiting.discard(change, again);
    if (discarded !== undefined) return discarded;
    const done = driver.turn((engine, now) => (again ? engine.retry(now, id, change) : engine.discard(now, id, change)));
    this.#refresh();
    return done;
  }

  /** What was written is not the page's typing, and comes to it as what others write does. */
  #otherwise(): void {
    this.#held.undo.otherChanged();
    this.#refresh();
    this.announce();
  }

  pending(): Path[] {
    return [...this.ask((engine, id) => engine.pendingPaths(id)), ...this.waiting.paths];
  }

  get #held(): Engine {
    if (!this.#engine) throw new RejoinError("not-ready", "the document is not loaded");
    return this.#engine;
  }

  /** Asks the engine of it. */
  ask<R>(ask: (engine: Replica, id: number) => R): R {
    const { driver, id } = this.#held;
    return driver.peek((engine) => ask(engine, id));
  }

  #outbox(): DocumentState["outbox"] {
    const engine = this.#engine;
    const waiting = this.waiting.outbox;
    if (!engine) return waiting;
    if (engine.driver.ended) return undefined;
    const { pending, rejected } = this.#status;
    if (!this.#outboxPace.isDue(pending + rejected, engine.driver.now())) return undefined;
    const outbox = [...engine.driver.peek((replica) => replica.outbox(engine.id)), ...waiting];
    return outbox.sort((a, b) => Number(a.state === "rejected") - Number(b.state === "rejected"));
  }

  /** Tells the page where it stands, once for all that happens together. */
  announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    queueMicrotask(() => {
      this.#announced = false;
      if (this.#closed) return;
      this.#post({ kind: "state", document: this.id, state: this.state });
      if (this.#engine && !this.#engine.driver.ended) this.conflicts.tell();
    });
  }

  #keep(): void {
    if (this.#engine) this.#keeping ??= setTimeout(() => void this.keep(), KEEP_AFTER_MS);
  }

  /** Keeps the value for the next time, if it has changed since. */
  async keep(): Promise<void> {
    if (this.#keeping === undefined) return;
    clearTimeout(this.#keeping);
    this.#keeping = undefined;
    // What was only shown is not kept: nobody could edit it who opens it from there.
    if (!this.#ahead) await this.#keepView(() => this.#crossing as Kept);
  }

  /** The page has closed it. What is not saved yet still will be, but for edits that wait and that this device has no room for; gives how many. */
  async close(): Promise<number> {
    await this.loaded.catch(() => undefined);
    void this.keep();
    this.#closed = true;
    const lost = await this.waiting.settle();
    this.waiting.leave();
    this.#outboxPace.end();
    clearTimeout(this.#due);
    const engine = this.#engine;
    if (engine && !engine.driver.ended) engine.driver.turn((replica) => replica.close(engine.id));
    return lost;
  }
}
