/** The client as a page holds it: connecting, documents, online and offline, closing. The engine is in a worker. */

import { Channel, type News } from "./channel.js";
import { SyncDocument } from "./document.js";
import type { Frame, TokenSource } from "./driver.js";
import { RejoinError, storeNewer } from "./errors.js";
import type { Shown } from "./diff.js";
import { checkAuthor } from "./limits.js";
import { callAll } from "./listeners.js";
import { shownOf, withInit } from "./mirror.js";
import { type ClientStatus, failedWith, NOTHING, type Status, withEdits } from "./status.js";
import { Counter, Text } from "./values.js";
import { Views } from "./views.js";
import { errorOf, failureOf, type InitKey, type Inspected, type Opening, type Traffic } from "./wire.js";
import type { Held, OutboxEntry } from "./wasm/rejoin.js";

/** What `connect` may be told. */
export type ConnectOptions = {
  /** Names the store on this device, which all tabs of the application share. `default` if not given. */
  store?: string;
  /** A token for the server, or what fetches one before each connection. */
  token?: TokenSource;
  /**
   * Who edits here, as your application calls them: a user's id or name, at most 256 bytes. Every change names its author from then on, to whoever
   * sees it, and rules and lists of conflicts go by it. It is a claim.
   */
  author?: string;
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
  checkAuthor(options.author);
  return Client.start(url, options);
}

function checkUrl(url: string): void {
  const protocol = URL.canParse(url) ? new URL(url).protocol : "";
  if (protocol !== "ws:" && protocol !== "wss:") {
    throw new RejoinError("bad-url", `${url} is no server address: it begins with ws:// or wss:// and a host`);
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
export type DocumentDiagnosis = Held & { readonly name: string; readonly status: Status; readonly outbox: readonly OutboxEntry[] };

/** A client: documents on this device, and a connection to a server whenever there is one. */
export class Client {
  readonly #channel: Channel;
  readonly #token: TokenSource | undefined;
  /** What was seen last of documents, to be shown before the engine is there. */
  readonly #views: Views | undefined;
  readonly #documents = new Map<number, SyncDocument<never>>();
  readonly #opened = new Map<string, { opening: Promise<SyncDocument<never>>; times: number }>();
  readonly #closing = new Map<string, Promise<void>>();
  readonly #subscribers = new Set<(status: ClientStatus) => void>();
  readonly #watchers = new Set<(frame: Frame) => void>();
  readonly #url: string;
  #online = true;
  readonly #page = new AbortController();
  #count = 0;
  #status: ClientStatus = { ...NOTHING, storage: "device", connected: false, leads: false };
  #failure: Error | undefined;
  #persisting = false;
  #announced = false;

  private constructor(url: string, channel: Channel, token: TokenSource | undefined, views: Views | undefined) {
    this.#url = url;
    this.#channel = channel;
    this.#token = token;
    this.#views = views;
    channel.listen((news) => this.#handle(news));
    const { signal } = this.#page;
    const changed = () => channel.send({ kind: "network" });
    const hidden = () => {
      this.#flush();
      channel.send({ kind: "hidden" });
    };
    globalThis.addEventListener?.("online", changed, { signal });
    globalThis.addEventListener?.("pagehide", () => {
      this.#flush();
      channel.send({ kind: "leave" });
    }, { signal });
    globalThis.document?.addEventListener("visibilitychange", () => (document.hidden ? hidden() : changed()), { signal });
  }

  /** @internal */
  static async start(url: string, { store = "default", token, author, offline }: ConnectOptions): Promise<Client> {
    const asksToken = typeof token === "function";
    const settings = { url, store, online: !offline, token: asksToken ? undefined : token, asksToken, author };
    const views = Views.of(store);
    const client = new Client(url, new Channel(), token, views);
    client.#online = !offline;
    const started = client.#channel.call<ClientStatus>({ do: "start", settings });
    started.then(
      (status) => (client.#status = status),
      (error: unknown) => client.#handle({ kind: "failed", failure: failureOf(error) }),
    );
    // Documents that were seen before can be shown at once; that the store can't be had is then said by the status.
    if ((await views?.known()) && !client.#failure) return client;
    try {
      await started;
    } catch (error) {
      client.#end();
      throw error;
    }
    return client;
  }

  /**
   * Opens a document and waits until it can be read: as it was seen last on this device, as long as its history is still being loaded
   * (`status.loading`). A name never used gives an empty one. Needs no network. Opening it again gives the same object, which is to be closed
   * as often.
   */
  async open<T extends object = Record<string, unknown>, P = unknown>(
    name: string,
    options: OpenOptions<T> = {},
  ): Promise<SyncDocument<T, P>> {
    this.#check();
    const init = Object.entries(options.init ?? {}).map(([key, value]) => initKey(key, value));
    const held = this.#opened.get(name);
    if (held) {
      held.times += 1;
      const document = await held.opening;
      await document.init(init);
      return document as unknown as SyncDocument<T, P>;
    }
    const opening = this.#open(name, init);
    this.#opened.set(name, { opening, times: 1 });
    opening.catch(() => this.#opened.delete(name));
    return (await opening) as unknown as SyncDocument<T, P>;
  }

  async #open(name: string, init: InitKey[]): Promise<SyncDocument<never>> {
    await this.#closing.get(name);
    const document = (this.#count += 1);
    const view = await this.#views?.read(name);
    const opened = this.#channel.call<void>({ do: "open", document, name, init, view });
    if (view) {
      // That the document, or the engine, can't be had is said by the status; what is edited would wait for ever.
      opened.catch((error: unknown) => (error instanceof RejoinError ? this.#documents.get(document)?.failed(error) : reportError(error)));
      const status = { ...NOTHING, loading: true };
      const state = { status, outbox: undefined, saved: 0, acknowledged: 0, canUndo: false, canRedo: false };
      this.#add(name, withInit(shownOf(view), init), { document, base: 0, state, peers: [] });
    } else {
      await opened;
    }
    return this.#documents.get(document) as SyncDocument<never>;
  }

  #add(name: string, shown: Shown, opening: Opening): void {
    const { document: id } = opening;
    const document = new SyncDocument<never>(this.#channel, name, shown, opening, {
      edited: () => this.#announce(),
      close: () => this.#close(id, name),
    });
    this.#documents.set(id, document);
  }

  /** Where all open documents stand together: the worst of their states, the sums of their counts; `loading` while one of them is. */
  get status(): ClientStatus {
    let [edits, unsaved, loading, least] = [0, 0, false, 1];
    for (const document of this.#documents.values()) {
      edits += document.edits.all;
      unsaved += document.edits.unsaved;
      const { status } = document;
      loading ||= status.loading;
      least = Math.min(least, status.progress ?? 1);
    }
    return withEdits({ ...this.#status, loading, progress: least < 1 ? least : undefined }, edits, unsaved);
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
    this.#check();
    const { tab, traffic, held } = await this.#channel.call<Inspected>({ do: "inspect" });
    const documents = held.flatMap(([id, held]) => {
      const document = this.#documents.get(id);
      return document ? [{ ...held, name: document.name, status: document.status, outbox: document.outbox }] : [];
    });
    return { url: this.#url, status: this.status, tab, traffic, documents };
  }

  /** Calls `listener` with each message that goes over this tab's connection. Gives what ends it. */
  watchFrames(listener: (frame: Frame) => void): () => void {
    const watcher = (frame: Frame) => listener(frame);
    this.#watchers.add(watcher);
    this.#channel.send({ kind: "watch", frames: true });
    return () => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size === 0) this.#channel.send({ kind: "watch", frames: false });
    };
  }

  /** Whether there is to be a connection, as this tab was told last: not after `goOffline`. */
  get online(): boolean {
    return this.#online;
  }

  /** Ends the connection of all tabs on the store, and makes none until `goOnline`. Editing goes on. */
  goOffline(): void {
    this.#check();
    this.#online = false;
    this.#channel.send({ kind: "online", online: false });
    this.#announce();
  }

  /** Connects now, and again whenever the connection is lost. */
  goOnline(): void {
    this.#check();
    this.#online = true;
    this.#channel.send({ kind: "online", online: true });
    this.#announce();
  }

  /**
   * Waits until everything is saved on this device, ends the connection and frees the store. What the server has not acknowledged
   * stays in the outbox for the next time. If saving fails the client stays open and goes on trying. One that has failed has nothing to wait
   * for: what it could not save is gone with it, as `status` has said.
   */
  async close(): Promise<void> {
    if (this.#page.signal.aborted) return;
    this.#flush();
    try {
      if (!this.#failure) await this.#channel.call({ do: "close" });
    } catch (error) {
      if (this.#failure) this.#end();
      throw error;
    }
    this.#end();
    this.#channel.end(new RejoinError("closed", "the client is closed"));
  }

  /**
   * For tests and demonstrations: ends the worker at once, with nothing written that is not written yet, as a crash of it would. All
   * documents then say `failed`; the next `connect`, of this page or another, finds what was saved on this device.
   */
  crash(): void {
    this.#channel.fail(new RejoinError("engine-failed", "the worker was ended: reload the page"));
  }

  #check(): void {
    if (this.#failure) throw this.#failure;
    if (this.#page.signal.aborted) throw new RejoinError("closed", "the client is closed");
  }

  #end(): void {
    this.#page.abort();
    void this.#views?.close();
    for (const document of this.#documents.values()) document.ended();
    this.#documents.clear();
    this.#opened.clear();
    this.#subscribers.clear();
  }

  #flush(): void {
    for (const document of this.#documents.values()) document.commit();
  }

  #handle(news: News): void {
    switch (news.kind) {
      case "opened":
        return this.#add(news.name, shownOf(news.value), news.opening);
      case "come":
      case "done":
      case "state":
      case "peers":
      case "conflicts":
        this.#documents.get(news.document)?.handle(news);
        if (news.kind === "done" && news.client) this.#status = news.client;
        break;
      case "client":
        this.#status = news.status;
        if (news.persist) this.#persist();
        break;
      case "frame":
        callAll(this.#watchers, news.frame);
        return;
      case "token":
        void this.#answerToken(news.call);
        return;
      case "outdated":
        for (const document of this.#documents.values()) document.stops(storeNewer());
        this.#channel.send({ kind: "flushed" });
        return;
      case "failed":
        this.#failure = errorOf(news.failure);
        this.#status = { ...failedWith(this.#failure, this.#status), connected: false };
        for (const document of this.#documents.values()) document.failed(this.#failure);
        this.#channel.end(this.#failure);
    }
    this.#announce();
  }

  /** Whether it is closed as often as it was opened, and so at an end. */
  #close(document: number, name: string): boolean {
    const opened = this.#opened.get(name);
    if (opened && --opened.times > 0) return false;
    this.#documents.delete(document);
    this.#opened.delete(name);
    const close = async () => {
      const lost = await this.#channel.call<number>({ do: "close-document", document }).catch(() => 0);
      if (lost > 0) reportError(new RejoinError("closed", `${name} was closed before ${lost} changes could be saved on this device: they are lost`));
    };
    const closing = close();
    this.#closing.set(name, closing);
    void closing.then(() => this.#closing.get(name) === closing && this.#closing.delete(name));
    return true;
  }

  async #answerToken(call: number): Promise<void> {
    const source = this.#token;
    const fetched = typeof source === "function" ? (async () => source())() : Promise.resolve(source);
    // A token that can't be had ends the attempt; the next one asks again.
    this.#channel.send({ kind: "token", call, token: await fetched.catch(() => undefined) });
  }

  /** Whether the browser agrees changes nothing here. */
  #persist(): void {
    if (this.#persisting) return;
    this.#persisting = true;
    void navigator.storage?.persist?.().catch(() => false);
  }

  #announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    queueMicrotask(() => {
      this.#announced = false;
      if (this.#page.signal.aborted || this.#subscribers.size === 0) return;
      callAll(this.#subscribers, this.status);
    });
  }
}

function initKey(key: string, value: unknown): InitKey {
  if (value instanceof Counter) return { key, kind: "counter", start: value.value };
  const empty = (value instanceof Text ? value.length : Object.keys(value as object).length) === 0;
  if (!empty) throw new RejoinError("bad-value", `init.${key}: only what is empty is the same on all devices`);
  return { key, kind: value instanceof Text ? "text" : Array.isArray(value) ? "list" : "map", start: undefined };
}
