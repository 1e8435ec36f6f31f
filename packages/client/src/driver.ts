/**
 * The driver: gives the engine its clock, its socket and its store, and brings on what it says.
 *
 * Owns all input and output. Decides nothing: what is sent, saved and shown is decided by the engine. After every call it takes the
 * engine's outputs until there is none. It speaks to the page in plain data only.
 */

import { RejoinError, storeNewer } from "./errors.js";
import { Socket } from "./socket.js";
import { isWaiting } from "./shelf.js";
import { failedWith, type Status, statusOf } from "./status.js";
import { type LocalStore, type Row, StoreError, withRoom } from "./store/store.js";
import type { Tabs } from "./tabs.js";
import { type EngineEvent, type EngineStatus, type Output, Replica, type StoreFailure } from "./wasm/rejoin.js";

/** After the store could not be taken over it is tried again after this time. */
const LEAD_AGAIN_MS = 1_000;
/** A page has so long to say what was edited in it, and the store to save that, when a newer version waits. */
const GIVE_UP_MS = 2_000;
const STOPPED = "the engine has stopped: reload the page";
/** Longest delay that `setTimeout` takes. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** A token, or what fetches one before each connection. */
export type TokenSource = string | (() => string | Promise<string>);

export type DriverOptions = { url: string; token: TokenSource | undefined; online: boolean; author: string | undefined; views: { clear(): Promise<void> } | undefined };

/** A message on the connection, for whoever looks into it. */
export type Frame = {
  readonly direction: "in" | "out";
  readonly bytes: number;
  /** The number of its first message's kind in the protocol; none if it is no message. */
  readonly kind: number | undefined;
  /** When it came or went, in milliseconds since 1970. */
  readonly at: number;
};

type StoreTask = Extract<Output, { kind: "read" | "commit" }>;

/** What the page is told. */
export type DriverEvent = EngineEvent | { kind: "frame"; frame: Frame } | { kind: "waiting"; name: string } | { kind: "connection" } | { kind: "outdated" } | { kind: "ended"; why: RejoinError };

export class Driver {
  readonly #options: DriverOptions;
  readonly #store: LocalStore;
  readonly #tell: (event: DriverEvent) => void;
  readonly #tabs: Tabs | undefined;
  readonly #engine: Replica;
  #socket: Socket | undefined;
  #attempt: object | undefined;
  #connected = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #draining = false;
  /** Tasks of the store, done one after the other. */
  #tasks: Promise<void> = Promise.resolve();
  #commits = { inFlight: 0, answered: 0, failure: undefined as string | undefined };
  #waiting: (() => void)[] = [];
  /** The number under which this tab leads the others. */
  #epoch: number | undefined;
  /** The last that this tab has asked for the lead. */
  #standing: object | undefined;
  /** It is this tab's turn to lead, and the store does not take that. */
  #cannotLead = false;
  #leadAgain: ReturnType<typeof setTimeout> | undefined;
  /** How it ended, in good order or not. */
  #end: "closed" | RejoinError | undefined;
  #givingUp: ReturnType<typeof setTimeout> | undefined;

  /** `tabs`: who else may be on the store; nobody if not given. */
  constructor(options: DriverOptions, store: LocalStore, tabs: Tabs | undefined, tell: (event: DriverEvent) => void) {
    this.#options = options;
    this.#store = store;
    this.#tell = tell;
    this.#tabs = tabs;
    this.#engine = new Replica(crypto.getRandomValues(new Uint8Array(32)), options.online, tabs?.number, options.author);
    const moved = () => void (this.#end || this.turn((engine, now) => engine.handleSeat(now, (tabs as Tabs).number)));
    tabs?.listen((from, message) => this.#told(from, message), moved);
    store.outdated = () => {
      // The page may hang.
      this.#givingUp ??= setTimeout(() => this.#fail(storeNewer()), GIVE_UP_MS);
      this.#tell({ kind: "outdated" });
    };
    this.#drain();
    this.#stand();
  }

  /** Whether a connection stands, be it another tab's. */
  get connected(): boolean {
    if (this.leads || this.#end) return this.#connected;
    return this.peek((engine) => engine.isOnline());
  }

  /** Whether this tab speaks with the server, for all tabs on the store. */
  get leads(): boolean {
    return !this.#tabs || this.#epoch !== undefined;
  }

  /** Whether it was closed in good order. */
  get closed(): boolean {
    return this.#end === "closed";
  }

  /** Whether nothing can be asked of the engine any more. */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** Why it has ended, if not in good order. */
  get failure(): RejoinError | undefined {
    return this.#end === "closed" ? undefined : this.#end;
  }

  /** The driver's clock, in milliseconds. */
  now(): number {
    return performance.now();
  }

  /** Calls the engine and brings on what it has to say. */
  turn<R>(call: (engine: Replica, nowMs: number) => R): R {
    this.#check();
    const result = this.#guard(() => call(this.#engine, this.now()));
    this.#drain();
    return result;
  }

  /** Reads from the engine. */
  peek<R>(call: (engine: Replica) => R): R {
    this.#check();
    return this.#guard(() => call(this.#engine));
  }

  /** A status read from the engine; of one that has failed the last that was read. */
  status(read: (engine: Replica) => EngineStatus | undefined, last: Status): Status {
    if (this.failure) return failedWith(this.failure, last);
    const engine = this.peek(read);
    if (!engine) return last;
    const status = statusOf(engine, this.now());
    return this.#cannotLead ? { ...status, state: "storage-full" } : status;
  }

  /** The network may be back. */
  networkChanged(): void {
    if (!this.#end) this.turn((engine, now) => engine.handleNetworkChanged(now));
  }

  /** Waits until `reached` gives something, looking whenever the engine may have moved. */
  async until<R>(reached: () => R | undefined): Promise<R> {
    for (;;) {
      this.#check();
      const result = reached();
      if (result !== undefined) return result;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Waits until everything is saved on this device, then ends all. Stays open, and throws, if saving fails. */
  async close(): Promise<void> {
    if (this.#end) return;
    const { answered } = this.#commits;
    const { unsaved } = this.peek((engine) => engine.overall());
    const failure = await this.until(() => {
      const { inFlight, failure } = this.#commits;
      if (inFlight === 0 && failure === undefined) return "";
      // A failure from before does not count: there may be room by now.
      return failure !== undefined && this.#commits.answered > answered ? failure : undefined;
    });
    if (failure) throw new RejoinError("store-failed", `${unsaved} changes are not saved on this device: ${failure}`);
    this.leaveTabs();
    this.#stop("closed");
    this.#engine.free();
  }

  /** Ends as if the worker had been killed: what is not written yet is not. */
  crash(): void {
    if (!this.#end) this.#stop(new RejoinError("engine-failed", STOPPED));
  }

  /** Ends, for a newer version of the application waits for the store, as soon as all is saved that is on its way. */
  async giveUp(): Promise<void> {
    await this.until(() => this.#commits.inFlight === 0 || undefined);
    this.#fail(storeNewer());
  }

  /** The page ends: the other tabs need not wait for this one. */
  leaveTabs(): void {
    if (!this.#end) this.turn((engine) => engine.leaveTabs());
  }

  /** Waits until this tab is to lead, or makes it so with `steal`. Whoever led before has no lock any more, and with the new epoch cannot write. */
  #stand(steal = false): void {
    const standing = (this.#standing = {});
    clearTimeout(this.#leadAgain);
    // Where it is taken anew it still can't.
    if (!steal) this.#setCannotLead(false);
    const lost = () => {
      this.#deposed();
      this.#stand();
    };
    this.#tabs?.stand(() => this.#leadSoon(standing), lost, steal);
  }

  #leadSoon(standing: object): void {
    this.#tasks = this.#tasks.then(() => this.#lead(standing));
  }

  /** Tries to lead, after all that was to be done before; while it fails, reading and writing go on between one attempt and the next. */
  async #lead(standing: object): Promise<void> {
    // Meanwhile the lock may have been taken away.
    const over = () => this.#end !== undefined || this.#standing !== standing;
    if (over()) return;
    try {
      const epoch = await withRoom(this.#options.views, async () => this.#store.lead?.());
      if (over() || epoch === undefined) return;
      this.#epoch = epoch;
      this.#setCannotLead(false);
      this.turn((engine, now) => engine.handleLead(now, epoch));
      this.#tell({ kind: "connection" });
    } catch (error) {
      if (over()) return;
      if (error instanceof RejoinError) return this.#fail(error);
      // Nothing is lost meanwhile: edits are kept, and fail or succeed by themselves.
      this.#leadAgain = setTimeout(() => this.#leadSoon(standing), LEAD_AGAIN_MS);
      this.#setCannotLead(true);
    }
  }

  #setCannotLead(cannot: boolean): void {
    if (this.#cannotLead === cannot) return;
    this.#cannotLead = cannot;
    this.#tell({ kind: "connection" });
  }

  #deposed(): void {
    if (this.#epoch === undefined || this.#end) return;
    this.#epoch = undefined;
    this.turn((engine, now) => engine.handleDeposed(now));
    this.#tell({ kind: "connection" });
  }

  #told(from: number, message: Uint8Array): void {
    if (this.#end) return;
    const { connected } = this;
    this.turn((engine, now) => engine.handleTold(now, from, message));
    if (this.#epoch !== undefined) this.#tabs?.watch(from, () => void (this.#end || this.turn((engine, now) => engine.handleGone(now, from))));
    if (this.connected !== connected) this.#tell({ kind: "connection" });
  }

  #check(): void {
    if (this.#end === "closed") throw new RejoinError("closed", "the client is closed");
    if (this.#end) throw this.#end;
  }

  /** A trap leaves the engine's memory in no known state: nothing is asked of it any more. */
  #guard<R>(call: () => R): R {
    try {
      return call();
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw RejoinError.from(error);
      const failure = new RejoinError("engine-failed", `${STOPPED} (${error.message})`, { cause: error });
      this.#fail(failure);
      throw failure;
    }
  }

  #fail(why: RejoinError): void {
    if (this.#end) return;
    this.#stop(why);
    this.#tell({ kind: "ended", why });
  }

  #stop(end: "closed" | RejoinError): void {
    this.#end = end;
    clearTimeout(this.#givingUp);
    clearTimeout(this.#timer);
    clearTimeout(this.#leadAgain);
    this.#dropSocket();
    this.#store.close();
    this.#wake();
  }

  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (;;) {
        const output = this.#end ? undefined : this.#guard(() => this.#engine.pollOutput());
        if (!output) break;
        this.#perform(output);
      }
    } finally {
      this.#draining = false;
    }
    this.#arm();
    this.#wake();
  }

  #perform(output: Output): void {
    switch (output.kind) {
      case "connect":
        void this.#connect();
        return;
      case "send":
        this.#socket?.send(output.frame);
        if (this.#connected) this.#passed("out", output.frame);
        return;
      case "disconnect":
        this.#dropSocket();
        return;
      case "tell":
        this.#tabs?.say(output.to, output.message);
        return;
      case "take-over":
        this.#stand(true);
        return;
      case "event":
        this.#tell(output.event);
        return;
      default:
        if (output.kind === "commit") this.#commits.inFlight += 1;
        this.#later(output, this.#epoch);
    }
  }

  /** What a leader wants written stays that leader's, however long it waits for its turn. */
  #later(task: StoreTask, epoch: number | undefined): void {
    this.#tasks = this.#tasks.then(() => this.#task(task, epoch));
  }

  async #task(task: StoreTask, epoch: number | undefined): Promise<void> {
    let rows: Row[][] = [];
    let failure: StoreFailure | undefined;
    let deposed = false;
    try {
      if (task.kind === "read") rows = this.#sorted(task, await this.#store.read(task.tables, task.prefix));
      else await withRoom(this.#options.views, () => this.#store.commit(task.writes, epoch));
    } catch (error) {
      if (error instanceof RejoinError) return this.#fail(error);
      const code = error instanceof StoreError ? error.code : "io";
      deposed = code === "deposed";
      failure = { code: code === "deposed" ? "io" : code, message: error instanceof Error ? error.message : String(error) };
    }
    if (task.kind === "commit") {
      this.#commits.inFlight -= 1;
      this.#commits.answered += 1;
      // The engine has what is still to be written written again.
      this.#commits.failure = deposed ? undefined : failure?.message;
    }
    if (this.#end) return;
    if (deposed) {
      // Of what it wanted written while it led the engine knows nothing any more, once it is told that another tab leads.
      if (epoch !== this.#epoch) return this.#wake();
      this.#deposed();
      return this.#stand();
    }
    this.turn((engine, now) => {
      if (task.kind === "commit") engine.handleCommitted(now, task.task, failure);
      else if (failure) engine.handleReadFailed(now, task.task, failure);
      else engine.handleRows(now, task.task, rows);
    });
  }

  /** Gives the engine its rows alone, and tells where edits wait beside them. */
  #sorted({ tables, prefix }: Extract<StoreTask, { kind: "read" }>, rows: Row[][]): Row[][] {
    if (!rows.some((table) => table.some(isWaiting))) return rows;
    this.#tell({ kind: "waiting", name: new TextDecoder().decode(prefix.subarray(0, -1)) });
    return rows.map((table, index) => (tables[index] === "outbox" ? table.filter((row) => !isWaiting(row)) : table));
  }

  async #connect(): Promise<void> {
    // What ends this attempt while the token is fetched takes the place of this mark.
    const attempt = {};
    this.#attempt = attempt;
    const current = () => this.#attempt === attempt && !this.#end;
    const ended = () => {
      if (!current()) return;
      this.#dropSocket();
      this.turn((engine, now) => engine.handleDisconnected(now));
    };
    const { token, url } = this.#options;
    if (token !== undefined) {
      const fresh = await Promise.resolve(typeof token === "string" ? token : callToken(token)).catch(() => undefined);
      if (!current()) return;
      if (fresh === undefined) return ended();
      this.turn((engine) => engine.setToken(fresh));
    }
    this.#socket = new Socket(url, {
      opened: () => {
        this.#setConnected(true);
        this.turn((engine, now) => engine.handleConnected(now, Date.now()));
      },
      frame: (frame) => {
        this.#passed("in", frame);
        this.turn((engine, now) => engine.handleFrame(now, frame));
      },
      ended,
    });
  }

  /** A message is an array of two in CBOR, of which the first is a small number. */
  #passed(direction: "in" | "out", frame: Uint8Array): void {
    const [array, first = 24] = frame;
    const kind = array === 0x82 && first < 24 ? first : undefined;
    this.#tell({ kind: "frame", frame: { direction, bytes: frame.length, kind, at: Date.now() } });
  }

  #dropSocket(): void {
    this.#attempt = undefined;
    this.#socket?.drop();
    this.#socket = undefined;
    this.#setConnected(false);
  }

  #setConnected(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    this.#tell({ kind: "connection" });
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#end) return;
    const due = this.#guard(() => this.#engine.pollTimeout());
    if (due === undefined) return;
    const delay = Math.min(Math.max(Math.ceil(due - this.now()), 0), TIMER_MS_MAX);
    this.#timer = setTimeout(() => this.turn((engine, now) => {
      // A timer may fire a little early.
      if (due <= now) engine.handleTimeout(now);
    }), delay);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}

async function callToken(token: () => string | Promise<string>): Promise<string> {
  return token();
}
