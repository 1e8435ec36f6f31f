/**
 * The presence of all documents of a client, where the engine is.
 *
 * Owns how the tabs on one store share the one presence that the server keeps for their connection: each tells all others what it says,
 * the one that leads sends it all, and tells the others what the server brings. Decides nothing of connections.
 */

import type { Driver } from "./driver.js";
import type { Peer } from "./presence.js";

/** Most bytes that the server takes for all tabs on a store. */
const PAYLOAD_BYTES_MAX = 16 << 10;
/** Values go out at most this often. */
const SEND_EVERY_MS = 50;
/** Most peers that one connection speaks for, and the longest id of one. */
const PEERS_MAX = 256;
const ID_LENGTH_MAX = 64;

/** What a tab says, and until when on its own clock. */
type Entry = { value: unknown; until: number };

/** What tabs say to each other. */
type Said =
  | { kind: "set"; name: string; peer: string; value: unknown; ttl: number }
  | { kind: "clear"; name: string; peer: string }
  | { kind: "remote"; name: string; from: string; entries: [string, unknown][] }
  | { kind: "ask" }
  | { kind: "lead" };

/** What is known of one document. */
class Room {
  /** The tabs on this store, this one too. */
  readonly tabs = new Map<string, Entry>();
  /** Everybody else, by the connection that speaks for them. */
  readonly remote = new Map<string, Map<string, unknown>>();
  /** The server has something of ours. */
  sent = false;
  sentAt = -Infinity;
  sending: ReturnType<typeof setTimeout> | undefined;
  expiring: ReturnType<typeof setTimeout> | undefined;
  announced = false;
}

/** The presence of all documents of a client. */
export class PresenceHub {
  readonly #driver: Driver;
  readonly #tell: (name: string, peers: readonly Peer[]) => void;
  readonly #channel: BroadcastChannel | undefined;
  readonly #self = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  readonly #rooms = new Map<string, Room>();
  #led = false;

  /** `store` names what tabs share; undefined if this one is alone. `tell` hears who is there whenever that changes. */
  constructor(driver: Driver, store: string | undefined, tell: (name: string, peers: readonly Peer[]) => void) {
    this.#driver = driver;
    this.#tell = tell;
    if (store === undefined) return;
    this.#channel = new BroadcastChannel(`${store}#presence`);
    this.#channel.onmessage = ({ data }: MessageEvent<Said>) => this.#told(data);
    this.#say({ kind: "ask" });
  }

  set(name: string, value: unknown, ttl: number): void {
    this.#say({ kind: "set", name, peer: this.#self, value, ttl });
    this.#put(name, this.#self, { value, until: this.#driver.now() + ttl });
  }

  clear(name: string): void {
    if (!this.#rooms.get(name)?.tabs.has(this.#self)) return;
    this.#say({ kind: "clear", name, peer: this.#self });
    this.#put(name, this.#self, undefined);
  }

  peers(name: string): readonly Peer[] {
    const peers = new Map<string, unknown>();
    const { tabs, remote } = this.#room(name);
    for (const entries of remote.values()) for (const [id, value] of entries) peers.set(id, value);
    // After a reconnect the server may still know this store by its old connection.
    for (const [id, { value }] of tabs) peers.set(id, value);
    peers.delete(this.#self);
    return [...peers].map(([id, value]) => ({ id, value })).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** The driver may have begun or ceased to lead, or a document may be open that was not. */
  turned(): void {
    const { leads } = this.#driver;
    if (leads && !this.#led) {
      for (const [name, room] of this.#rooms) this.#forget(name, room);
      this.#say({ kind: "lead" });
    }
    this.#led = leads;
    for (const [name, room] of this.#rooms) if (!room.sent && room.tabs.size > 0) this.#send(name, room);
  }

  /** The server says what a connection says of a document; nothing if it is gone. */
  heard(document: number, from: string, payload: Uint8Array): void {
    const name = this.#driver.peek((engine) => engine.documentName(document));
    if (name === undefined) return;
    const entries = parse(payload);
    this.#remote(name, from, entries);
    this.#say({ kind: "remote", name, from, entries });
  }

  /** The page or the client ends. */
  leave(): void {
    for (const name of this.#rooms.keys()) this.clear(name);
  }

  close(): void {
    this.leave();
    for (const room of this.#rooms.values()) {
      clearTimeout(room.sending);
      clearTimeout(room.expiring);
    }
    this.#rooms.clear();
    this.#channel?.close();
  }

  #told(said: Said): void {
    switch (said.kind) {
      case "set":
        return this.#put(said.name, said.peer, { value: said.value, until: this.#driver.now() + said.ttl });
      case "clear":
        return this.#put(said.name, said.peer, undefined);
      case "remote":
        return this.#remote(said.name, said.from, said.entries);
      case "lead":
        for (const [name, room] of this.#rooms) this.#forget(name, room);
    }
    // Whoever has come, or leads now, is told what this tab says, and by the leader what all others say.
    for (const [name, room] of this.#rooms) {
      const own = room.tabs.get(this.#self);
      if (own) this.#say({ kind: "set", name, peer: this.#self, value: own.value, ttl: own.until - this.#driver.now() });
      if (!this.#driver.leads) continue;
      for (const [from, entries] of room.remote) this.#say({ kind: "remote", name, from, entries: [...entries] });
    }
  }

  #say(said: Said): void {
    this.#channel?.postMessage(said);
  }

  #room(name: string): Room {
    let room = this.#rooms.get(name);
    if (!room) this.#rooms.set(name, (room = new Room()));
    return room;
  }

  #put(name: string, peer: string, entry: Entry | undefined): void {
    const room = this.#room(name);
    if (entry) room.tabs.set(peer, entry);
    else if (!room.tabs.delete(peer)) return;
    this.#expire(name, room);
    this.#send(name, room);
    this.#announce(name, room);
  }

  #remote(name: string, from: string, entries: [string, unknown][]): void {
    const room = this.#room(name);
    if (entries.length === 0) room.remote.delete(from);
    else room.remote.set(from, new Map(entries));
    this.#announce(name, room);
  }

  /** Another connection speaks from now on. */
  #forget(name: string, room: Room): void {
    room.remote.clear();
    room.sent = false;
    this.#announce(name, room);
  }

  /** Lets go of what has had its time, now and whenever the next one has. */
  #expire(name: string, room: Room): void {
    clearTimeout(room.expiring);
    const next = Math.min(...[...room.tabs.values()].map(({ until }) => until));
    if (next === Infinity) return;
    room.expiring = setTimeout(() => {
      const now = this.#driver.now();
      const gone = [...room.tabs].filter(([, { until }]) => until <= now);
      for (const [peer] of gone) room.tabs.delete(peer);
      this.#expire(name, room);
      if (gone.length === 0) return;
      this.#send(name, room);
      this.#announce(name, room);
    }, Math.max(Math.ceil(next - this.#driver.now()), 1));
  }

  /** Sends what all tabs say, if this one leads: at once, or when the last time is long enough ago. */
  #send(name: string, room: Room): void {
    if (room.sending !== undefined || this.#driver.ended || !this.#driver.leads) return;
    const wait = room.sentAt + SEND_EVERY_MS - this.#driver.now();
    // The last word of a page that ends is not to wait.
    if (wait > 0 && room.tabs.size > 0) {
      room.sending = setTimeout(() => {
        room.sending = undefined;
        this.#send(name, room);
      }, wait);
      return;
    }
    const document = this.#driver.peek((engine) => engine.documentId(name));
    if (document === undefined || (room.tabs.size === 0 && !room.sent)) return;
    const now = this.#driver.now();
    const ttl = Math.max(0, ...[...room.tabs.values()].map(({ until }) => until - now));
    const payload = format([...room.tabs]);
    room.sent = payload.length > 0;
    room.sentAt = now;
    this.#driver.turn((engine) => engine.emit(document, payload, ttl));
  }

  #announce(name: string, room: Room): void {
    if (room.announced) return;
    room.announced = true;
    queueMicrotask(() => {
      room.announced = false;
      this.#tell(name, this.peers(name));
    });
  }
}

/** As many entries as the server takes. */
function format(entries: [string, Entry][]): Uint8Array {
  const parts: string[] = [];
  let bytes = 2;
  for (const [id, { value }] of entries) {
    const part = JSON.stringify([id, value]);
    bytes += new TextEncoder().encode(part).length + 1;
    if (bytes > PAYLOAD_BYTES_MAX) break;
    parts.push(part);
  }
  return parts.length === 0 ? new Uint8Array() : new TextEncoder().encode(`[${parts.join()}]`);
}

/** What others have sent may be anything; what is no presence is nobody. */
function parse(payload: Uint8Array): [string, unknown][] {
  try {
    const entries: unknown = JSON.parse(new TextDecoder().decode(payload));
    if (!Array.isArray(entries)) return [];
    return entries.slice(0, PEERS_MAX).filter(isEntry);
  } catch {
    return [];
  }
}

function isEntry(entry: unknown): entry is [string, unknown] {
  return Array.isArray(entry) && entry.length === 2 && typeof entry[0] === "string" && entry[0].length <= ID_LENGTH_MAX;
}
