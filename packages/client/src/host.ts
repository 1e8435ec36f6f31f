/**
 * The client where the engine is: in a worker, or at the other end of a channel in the page itself.
 *
 * Owns the order in which things start: pages may open and edit documents before the engine is there. Decides nothing of documents.
 */

import { Driver, type DriverEvent, type Frame } from "./driver.js";
import { RejoinError, storeFailed } from "./errors.js";
import { Hosted } from "./hosted.js";
import { PresenceHub } from "./hub.js";
import { joined, Shelf } from "./shelf.js";
import { type ClientStatus, NOTHING } from "./status.js";
import { IndexedDbStore } from "./store/indexeddb.js";
import { MemoryStore } from "./store/memory.js";
import { type LocalStore, StoreError } from "./store/store.js";
import { hasLocks, Tabs } from "./tabs.js";
import { storeName, Views } from "./views.js";
import { type Answer, type Ask, failureOf, type Inspected, type Request, type Settings } from "./wire.js";
import load, { type Held } from "./wasm/rejoin.js";

/** An end of a channel. */
export type End = { postMessage(message: unknown): void; onmessage: ((event: MessageEvent<Request>) => void) | null };

/** Serves a page at the other end. */
export function serve(end: End): void {
  const host = new Host((answer) => end.postMessage(answer));
  end.onmessage = ({ data }) => host.handle(data);
  const hello = (alive?: string) => end.postMessage({ kind: "hello", alive } satisfies Answer);
  if (!hasLocks()) return hello();
  const alive = `rejoin#alive-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
  const held = () => {
    hello(alive);
    return new Promise(() => undefined);
  };
  // Where storage is blocked, so are locks.
  navigator.locks.request(alive, held).catch(() => hello());
}

let loading: Promise<unknown> | undefined;

/** Loads the engine, once; after a failure the next call tries again. */
function engine(): Promise<unknown> {
  loading ??= load().catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

class Host {
  readonly #post: (answer: Answer) => void;
  readonly #documents = new Map<number, Hosted>();
  readonly #byEngine = new Map<number, Hosted>();
  readonly #tokens = new Map<number, (token: string | undefined) => void>();
  #driver: Promise<Driver> | undefined;
  #running: Driver | undefined;
  #hub: PresenceHub | undefined;
  #views: Views | undefined;
  #tabs: Tabs | undefined;
  #shelf: Shelf | undefined;
  #storage: "device" | "memory" = "memory";
  #status = NOTHING;
  #storeFailure: RejoinError | undefined;
  #persist = false;
  #announced = false;
  readonly #traffic = { in: { frames: 0, bytes: 0 }, out: { frames: 0, bytes: 0 } };
  #watched = false;
  #count = 0;

  constructor(post: (answer: Answer) => void) {
    this.#post = (answer) => post(answer.kind === "done" ? { ...answer, client: this.status } : answer);
    // It is on its way while the page says what it wants.
    void engine().catch(() => undefined);
  }

  handle(request: Request): void {
    switch (request.kind) {
      case "call":
        this.#answer(request.call, request.ask);
        return;
      case "edit":
        this.#guard(() => this.#documents.get(request.document)?.edit(request));
        return;
      case "seen":
        this.#documents.get(request.document)?.seen(request.base);
        return;
      case "conflicts":
        this.#documents.get(request.document)?.conflicts.watch();
        return;
      case "rules":
        this.#rule(request.document, request.text);
        return;
      case "presence":
        this.#later(() => this.#say(request.document, request.value, request.ttl));
        return;
      case "token":
        this.#tokens.get(request.call)?.(request.token);
        this.#tokens.delete(request.call);
        return;
      case "online":
        this.#later((driver) => driver.turn((engine, now) => engine.setOnline(now, request.online)));
        return;
      case "watch":
        this.#watched = request.frames;
        return;
      case "network":
        this.#running?.networkChanged();
        return;
      case "flushed":
        void this.#giveUp();
        return;
      case "hidden":
        for (const document of this.#documents.values()) void document.keep();
        return;
      case "leave":
        for (const document of this.#documents.values()) void document.keep();
        this.#hub?.leave();
        this.#running?.leaveTabs();
        return;
      case "crash":
        this.#running?.crash();
        this.#shelf?.leave();
        this.#tabs?.leave();
    }
  }

  #answer(call: number, ask: Ask): void {
    this.#do(ask).then(
      (value) => this.#post({ kind: "answer", call, value }),
      (error: unknown) => this.#post({ kind: "failure", call, failure: failureOf(error) }),
    );
  }

  async #do(ask: Ask): Promise<unknown> {
    if (ask.do === "open") return this.#open(ask);
    if (ask.do === "start") return this.#start(ask.settings);
    if (ask.do === "close") return this.#close();
    if (ask.do === "inspect") return this.#inspect();
    const document = this.#documents.get(ask.document);
    if (!document) throw new RejoinError("closed", "the document is closed");
    await document.loaded;
    switch (ask.do) {
      case "init":
        return document.init(ask.init);
      case "cursor":
        return document.cursor(ask.base, ask.path, ask.index);
      case "position":
        return document.position(ask.cursor);
      case "history":
        return document.ask((engine, id) => engine.history(id));
      case "at":
        return document.at(ask.change);
      case "undo":
      case "redo":
        return document.undo(ask.do === "undo");
      case "retry":
      case "discard":
        return document.settle(ask.change, ask.do === "retry");
      case "export":
        return joined(document.ask((engine, id) => engine.export(id)), document.waiting.text);
      case "resolve":
        return document.conflicts.resolve(ask.conflict, ask.version, ask.answer, ask.note);
      case "conflict":
        return document.conflicts.get(ask.conflict);
      case "reopen":
        return document.conflicts.reopen(ask.conflict);
      case "declare":
        return document.conflicts.declare();
      case "pending":
        return document.pending();
      case "close-document":
        this.#hub?.clear(document.name);
        this.#documents.delete(ask.document);
        return document.close();
    }
  }

  async #start(settings: Settings): Promise<ClientStatus> {
    this.#views = Views.of(settings.store);
    const opening = openStore(storeName(settings.store));
    this.#shelf = new Shelf(opening.then(({ store }) => store), this.#views, storeName(settings.store));
    this.#driver = opening.then(({ store, tabs }) => this.#run(settings, store, tabs));
    // Whoever waits for it is told; that the store can't be had is the answer to this call.
    this.#driver.catch(() => undefined);
    const { store, tabs } = await opening;
    this.#tabs = tabs;
    this.#storage = store.durable ? "device" : "memory";
    if (!store.durable) this.#views = undefined;
    this.#driver.catch((error: unknown) => {
      store.close();
      this.#shelf?.leave();
      tabs?.leave();
      this.#post({ kind: "failed", failure: failureOf(error) });
    });
    return this.status;
  }

  /** Starts the engine on an open store. */
  async #run({ url, online, token, asksToken, author }: Settings, store: LocalStore, tabs: Tabs | undefined): Promise<Driver> {
    await engine();
    const source = asksToken ? () => this.#token() : token;
    const driver = new Driver({ url, token: source, online, author, views: this.#views }, store, tabs, (event) => this.#handle(event));
    this.#running = driver;
    await driver.until(() => {
      if (this.#storeFailure) throw this.#storeFailure;
      return driver.peek((replica) => replica.isIdentified()) || undefined;
    });
    this.#hub = new PresenceHub(driver, tabs?.name, (name, peers) => {
      for (const document of this.#documents.values()) {
        if (document.name === name) this.#post({ kind: "peers", document: document.id, peers });
      }
    });
    return driver;
  }

  #token(): Promise<string> {
    const call = (this.#count += 1);
    this.#post({ kind: "token", call });
    return new Promise((resolve, reject) => {
      this.#tokens.set(call, (token) => (token === undefined ? reject(new Error("there is no token")) : resolve(token)));
    });
  }

  /** Opens a document. It is there at once, for what the page says next. */
  async #open({ document: id, name, init, view }: Extract<Ask, { do: "open" }>): Promise<void> {
    const document = new Hosted(id, name, init, view, {
      driver: this.#driver as Promise<Driver>,
      post: this.#post,
      opened: (engineId, hosted) => void this.#byEngine.set(engineId, hosted),
      keep: async (value) => this.#views?.write(name, value()),
      shelf: this.#shelf as Shelf,
      changed: () => this.#announce(),
    });
    this.#documents.set(id, document);
    try {
      await document.loaded;
    } catch (error) {
      if (!view) this.#documents.delete(id);
      throw error;
    }
    const peers = this.#hub?.peers(name) ?? [];
    if (view) this.#post({ kind: "peers", document: id, peers });
    else this.#post({ kind: "opened", name, ...document.opening(peers) });
  }

  /** What needs the engine, once it is there. */
  #later(what: (driver: Driver) => void): void {
    if (this.#running?.ended) return;
    this.#driver?.then((driver) => {
      if (!driver.ended) what(driver);
    }, () => undefined);
  }

  #say(id: number, value: unknown, ttl: number): void {
    const document = this.#documents.get(id);
    if (!document) return;
    if (value === undefined) this.#hub?.clear(document.name);
    else this.#hub?.set(document.name, value, ttl);
  }

  #rule(id: number, text: string | undefined): void {
    const document = this.#documents.get(id);
    if (document) document.conflicts.rules = text;
  }

  get status(): ClientStatus {
    const driver = this.#running;
    if (driver) this.#status = driver.status((replica) => replica.overall(), this.#status);
    const status = [...this.#documents.values()].reduce((status, document) => document.waiting.counted(status), this.#status);
    return { ...status, storage: this.#storage, connected: driver?.connected ?? false, leads: driver?.leads ?? false };
  }

  async #close(): Promise<void> {
    const driver = await (this.#driver as Promise<Driver>);
    for (const document of this.#documents.values()) {
      await document.loaded.catch(() => undefined);
      await document.keep();
      const unkept = await document.waiting.settle();
      if (unkept > 0) throw new RejoinError("store-failed", `${unkept} changes of ${document.name} are not saved on this device`);
    }
    await driver.close();
    this.#shelf?.leave();
    this.#hub?.close();
    this.#tabs?.leave();
    await this.#views?.close();
    this.#documents.clear();
  }

  /** What was edited before its history was there is saved once it is, or kept as it is. */
  async #giveUp(): Promise<void> {
    await Promise.allSettled([...this.#documents.values()].map(({ loaded }) => loaded));
    await Promise.all([...this.#documents.values()].map((document) => document.waiting.settle()));
    await this.#running?.giveUp().catch(() => undefined);
  }

  async #inspect(): Promise<Inspected> {
    const driver = await (this.#driver as Promise<Driver>);
    const held = [...this.#byEngine].flatMap(([engineId, { id }]): [number, Held][] => {
      const held = this.#documents.has(id) ? driver.peek((replica) => replica.holds(engineId)) : undefined;
      return held ? [[id, held]] : [];
    });
    return { tab: this.#tabs?.number, traffic: this.#traffic, held };
  }

  #passed(frame: Frame): void {
    const traffic = this.#traffic[frame.direction];
    traffic.frames += 1;
    traffic.bytes += frame.bytes;
    if (this.#watched) this.#post({ kind: "frame", frame });
  }

  #handle(event: DriverEvent): void {
    if (event.kind === "frame") return this.#passed(event.frame);
    if (event.kind === "outdated") return this.#post(event);
    if (event.kind === "waiting") {
      for (const document of this.#documents.values()) if (document.name === event.name) document.found();
      return;
    }
    if (event.kind === "ended") this.#shelf?.leave();
    if (event.kind === "ended") this.#post({ kind: "failed", failure: failureOf(event.why) });
    if (event.kind === "storage-failed") this.#storeFailure = storeFailed(event);
    // Once there is something to keep, the browser is asked not to drop it when it needs room.
    if (event.kind === "saved" && this.#storage === "device") this.#persist = true;
    if (event.kind === "emitted") return this.#hub?.heard(event.document, event.from, event.payload);
    if (event.kind === "connection" || event.kind === "ready") this.#hub?.turned();
    if ("document" in event) this.#byEngine.get(event.document)?.handle(event);
    else for (const document of this.#documents.values()) document.announce();
    this.#announce();
  }

  #announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    queueMicrotask(() => {
      this.#announced = false;
      if (this.#running?.closed) return;
      this.#post({ kind: "client", status: this.status, persist: this.#persist });
    });
  }

  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      // The page has been told that the engine has stopped, or is closing.
      if (!this.#running?.ended) throw error;
    }
  }
}

async function openStore(name: string): Promise<{ store: LocalStore; tabs: Tabs | undefined }> {
  // Without locks two tabs would write to one store under one identity. Without storage there is nothing to share.
  if (!hasLocks() || !globalThis.indexedDB) return { store: new MemoryStore(), tabs: undefined };
  let tabs: Tabs | undefined;
  try {
    tabs = await Tabs.join(name);
    return { store: await IndexedDbStore.open(name), tabs };
  } catch (error) {
    tabs?.leave();
    if (isBlocked(error)) return { store: new MemoryStore(), tabs: undefined };
    if (error instanceof RejoinError) throw error;
    throw new RejoinError(error instanceof StoreError && error.code === "full" ? "store-full" : "store-failed", String(error));
  }
}

/** Whether storage is blocked for this page, by the user, for its origin is opaque, or in a private window. A store names the browser's error first. */
function isBlocked(error: unknown): boolean {
  const { name, message } = error instanceof Error ? error : { name: "", message: "" };
  return /^(SecurityError|InvalidStateError|NotAllowedError)\b/.test(error instanceof StoreError ? message : name);
}
