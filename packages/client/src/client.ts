/** The client as a page holds it: connecting, documents, online and offline, closing. */

import { SyncDocument } from "./document.js";
import { Driver, type DriverEvent, type Frame, type TokenSource } from "./driver.js";
import { RejoinError } from "./errors.js";
import { callAll } from "./listeners.js";
import { PresenceHub } from "./presence.js";
import { type ClientStatus, NOTHING, type Status } from "./status.js";
import { IndexedDbStore } from "./store/indexeddb.js";
import { MemoryStore } from "./store/memory.js";
import type { LocalStore } from "./store/store.js";
import { hasLocks, Tabs } from "./tabs.js";
import { Counter, Text } from "./values.js";
import load, { type Held, type OutboxEntry } from "./wasm/rejoin.js";

/** What `connect` may be told. */
export type ConnectOptions = {
  /** Names the store on this device, which all tabs of the application share. `default` if not given. */
  store?: string;
  /** A token for the server, or what fetches one before each connection. */
  token?: TokenSource;
  /** Starts without a connection, until `goOnline`. */
  offline?: boolean;
};

/** Root keys that every device creates alike, however long they are apart: empty lists, objects and texts, and counters. */
export type Init<T> = { [Key in keyof T]?: T[Key] extends unknown[] ? [] : T[Key] extends Text | Counter ? T[Key] : Record<string, never> };

export type OpenOptions<T> = {
  /** Created unless the document has them: the same on all devices, so that two that start offline share them. */
  init?: Init<T>;
};

/**
 * Opens the store on this device and starts a client of the server at `url` (`ws://` or `wss://`). Does not wait for the network:
 * documents can be opened and edited without one.
 */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Client> {
  checkUrl(url);
  await engine();
  const { store, tabs } = await openStore(`rejoin:${options.store ?? "default"}`);
  try {
    return await Client.start(url, options, store, tabs);
  } catch (error) {
    store.close();
    tabs?.leave();
    throw error;
  }
}

let loaded: Promise<unknown> | undefined;

/** Loads the engine, once for the page; after a failure the next call tries again. */
function engine(): Promise<unknown> {
  loaded ??= load().catch((error: unknown) => {
    loaded = undefined;
    throw error;
  });
  return loaded;
}

function checkUrl(url: string): void {
  const protocol = URL.canParse(url) ? new URL(url).protocol : "";
  if (protocol !== "ws:" && protocol !== "wss:") {
    throw new RejoinError("bad-url", `${url} is no server address: it begins with ws:// or wss:// and a host`);
  }
}

async function openStore(name: string): Promise<{ store: LocalStore; tabs: Tabs | undefined }> {
  // Without locks two tabs would write to one store under one identity. Without storage there is nothing to share.
  if (!hasLocks() || !globalThis.indexedDB) return { store: new MemoryStore(), tabs: undefined };
  const tabs = await Tabs.join(name);
  try {
    return { store: await IndexedDbStore.open(name), tabs };
  } catch (error) {
    tabs.leave();
    // Blocked by the user or by a private window.
    if (error instanceof Error && /^(SecurityError|InvalidStateError|NotAllowedError):/.test(error.message)) {
      return { store: new MemoryStore(), tabs: undefined };
    }
    throw error instanceof RejoinError ? error : new RejoinError("store-failed", String(error), { cause: error });
  }
}

/** A client as one that looks into it sees it: plain data. */
export type Diagnosis = {
  readonly url: string;
  readonly status: ClientStatus;
  /** This tab's number on the store; none where it is alone. */
  readonly tab: number | undefined;
  /** What went over this tab's connections since the client was connected. */
  readonly traffic: { readonly in: Traffic; readonly out: Traffic };
  readonly documents: readonly DocumentDiagnosis[];
};
export type Traffic = { readonly frames: number; readonly bytes: number };
export type DocumentDiagnosis = Held & { readonly name: string; readonly status: Status; readonly outbox: readonly OutboxEntry[] };

/** A client: documents on this device, and a connection to a server whenever there is one. */
export class Client {
  readonly #driver: Driver;
  readonly #storage: "device" | "memory";
  readonly #tabs: Tabs | undefined;
  #presence: PresenceHub | undefined;
  readonly #documents = new Map<number, Opened>();
  readonly #subscribers = new Set<(status: ClientStatus) => void>();
  readonly #watchers = new Set<(frame: Frame) => void>();
  readonly #traffic = { in: { frames: 0, bytes: 0 }, out: { frames: 0, bytes: 0 } };
  readonly #url: string;
  #online: boolean;
  readonly #page = new AbortController();
  #status = NOTHING;
  #storeFailure: string | undefined;
  #persisting = false;
  #announced = false;

  private constructor(url: string, options: ConnectOptions, store: LocalStore, tabs: Tabs | undefined) {
    this.#storage = store.durable ? "device" : "memory";
    this.#tabs = tabs;
    this.#url = url;
    this.#online = !options.offline;
    const settings = { url, token: options.token, online: !options.offline };
    this.#driver = new Driver(settings, store, tabs, (event) => this.#handle(event));
  }

  /** @internal */
  static async start(url: string, options: ConnectOptions, store: LocalStore, tabs: Tabs | undefined): Promise<Client> {
    const client = new Client(url, options, store, tabs);
    client.#presence = new PresenceHub(client.#driver, tabs?.name);
    await client.#driver.until(() => {
      if (client.#storeFailure !== undefined) throw new RejoinError("store-failed", client.#storeFailure);
      return client.#driver.peek((engine) => engine.isIdentified()) || undefined;
    });
    const { signal } = client.#page;
    const changed = () => client.#driver.networkChanged();
    globalThis.addEventListener?.("online", changed, { signal });
    globalThis.addEventListener?.("pagehide", () => client.#leave(), { signal });
    globalThis.document?.addEventListener("visibilitychange", () => document.hidden || changed(), { signal });
    return client;
  }

  /**
   * Opens a document and waits until it is read from this device; a name never used gives an empty one. Needs no network. Opening it
   * again gives the same object.
   */
  async open<T extends object = Record<string, unknown>, P = unknown>(
    name: string,
    options: OpenOptions<T> = {},
  ): Promise<SyncDocument<T, P>> {
    const id = this.#driver.turn((engine, now) => engine.open(now, name));
    let opened = this.#documents.get(id);
    if (!opened) {
      const onClose = () => void this.#documents.delete(id);
      const document = new SyncDocument(this.#driver, this.#presence as PresenceHub, id, name, onClose) as SyncDocument<never>;
      opened = { document, ready: false, failure: undefined };
      this.#documents.set(id, opened);
    }
    const { document } = opened;
    await this.#driver.until(() => {
      if (opened.failure !== undefined) {
        this.#documents.delete(id);
        throw new RejoinError("store-failed", opened.failure);
      }
      return opened.ready || undefined;
    });
    for (const [key, value] of Object.entries(options.init ?? {})) this.#init(id, key, value);
    return document as unknown as SyncDocument<T, P>;
  }

  /** Where all open documents stand together: the worst of their states, the sums of their counts. */
  get status(): ClientStatus {
    this.#status = this.#driver.status((engine) => engine.overall(), this.#status);
    return { ...this.#status, storage: this.#storage, connected: this.#driver.connected, leads: this.#driver.leads };
  }

  /** Calls `listener` now and whenever the status may have changed. Gives what ends the subscription. */
  subscribe(listener: (status: ClientStatus) => void): () => void {
    const subscriber = (status: ClientStatus) => listener(status);
    subscriber(this.status);
    this.#subscribers.add(subscriber);
    return () => void this.#subscribers.delete(subscriber);
  }

  /** Everything that an inspector shows, as it is now. */
  async inspect(): Promise<Diagnosis> {
    const documents = [...this.#documents].flatMap(([id, { document, ready }]) => {
      const held = ready ? this.#driver.peek((engine) => engine.holds(id)) : undefined;
      return held ? [{ ...held, name: document.name, status: document.status, outbox: document.outbox }] : [];
    });
    const traffic = { in: { ...this.#traffic.in }, out: { ...this.#traffic.out } };
    return { url: this.#url, status: this.status, tab: this.#tabs?.number, traffic, documents };
  }

  /** Calls `listener` with each message that goes over this tab's connection. Gives what ends it. */
  watchFrames(listener: (frame: Frame) => void): () => void {
    const watcher = (frame: Frame) => listener(frame);
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  /** Whether there is to be a connection, as this tab was told last: not after `goOffline`. */
  get online(): boolean {
    return this.#online;
  }

  /** Ends the connection of all tabs on the store, and makes none until `goOnline`. Editing goes on. */
  goOffline(): void {
    this.#online = false;
    this.#driver.turn((engine, now) => engine.setOnline(now, false));
    this.#announce();
  }

  /** Connects now, and again whenever the connection is lost. */
  goOnline(): void {
    this.#online = true;
    this.#driver.turn((engine, now) => engine.setOnline(now, true));
    this.#announce();
  }

  /**
   * Waits until everything is saved on this device, ends the connection and frees the store. What the server has not acknowledged
   * stays in the outbox for the next time. If saving fails the client stays open and goes on trying.
   */
  async close(): Promise<void> {
    await this.#driver.close();
    this.#presence?.close();
    this.#page.abort();
    for (const { document } of this.#documents.values()) document.ended();
    this.#documents.clear();
    this.#subscribers.clear();
    this.#tabs?.leave();
  }

  /** The page ends. */
  #leave(): void {
    this.#presence?.leave();
    this.#driver.leaveTabs();
  }

  #init(id: number, key: string, value: unknown): void {
    const [kind, start] =
      value instanceof Counter
        ? (["counter", value.value] as const)
        : ([value instanceof Text ? "text" : Array.isArray(value) ? "list" : "map", undefined] as const);
    const empty = value instanceof Counter || (value instanceof Text ? value.length : Object.keys(value as object).length) === 0;
    if (!empty) throw new RejoinError("bad-value", `init.${key}: only what is empty is the same on all devices`);
    this.#driver.turn((engine, now) => engine.init(now, id, key, kind, start));
  }

  #handle(event: DriverEvent): void {
    if (event.kind === "frame") return this.#passed(event.frame);
    if (event.kind === "storage-failed") this.#storeFailure = event.reason;
    if (event.kind === "saved") this.#persist();
    if (event.kind === "emitted") return this.#presence?.heard(event.document, event.from, event.payload);
    if (event.kind === "connection" || event.kind === "ready") this.#presence?.turned();
    if ("document" in event) {
      const opened = this.#documents.get(event.document);
      if (opened) {
        if (event.kind === "ready") opened.ready = true;
        if (event.kind === "failed") opened.failure = event.reason;
        else opened.document.handle(event);
      }
    } else {
      for (const { document, ready } of this.#documents.values()) if (ready) document.announce();
    }
    this.#announce();
  }

  #passed(frame: Frame): void {
    const traffic = this.#traffic[frame.direction];
    traffic.frames += 1;
    traffic.bytes += frame.bytes;
    callAll(this.#watchers, frame);
  }

  /** Once there is something to keep, the browser is asked not to drop it when it needs room. */
  #persist(): void {
    if (this.#persisting || this.#storage === "memory") return;
    this.#persisting = true;
    // Whether it agrees changes nothing here.
    void navigator.storage?.persist?.().catch(() => false);
  }

  #announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    queueMicrotask(() => {
      this.#announced = false;
      if (this.#page.signal.aborted || this.#subscribers.size === 0) return;
      const status = this.status;
      callAll(this.#subscribers, status);
    });
  }
}

type Opened = { document: SyncDocument<never>; ready: boolean; failure: string | undefined };
