/** Presence: who else has a document open, and what each says of itself right now. Never stored. */

import { RejoinError } from "./errors.js";
import { callAll, listen } from "./listeners.js";

/** How long a value lives that is not set again. */
const TTL_MS = 60_000;
/** Most bytes of a value, as JSON. */
const VALUE_BYTES_MAX = 2_048;

/** Somebody else who has the document open: another tab, browser or person. */
export type Peer<P = unknown> = {
  /** Stays the same as long as the page is open. */
  readonly id: string;
  /** What it has said last. */
  readonly value: P;
};

export type PresenceOptions = {
  /** The value is gone after so many milliseconds, unless it is set again. 60,000 if not given. */
  ttl?: number;
};

/** Says a value for some milliseconds; takes it back if there is none. */
export type SayPresence = (value: unknown, ttl: number) => void;

/** Who else has a document open. */
export class Presence<P = unknown> {
  readonly #say: SayPresence;
  readonly #listeners = new Set<(peers: readonly Peer<P>[]) => void>();
  #peers: readonly Peer<P>[];

  /** @internal */
  constructor(say: SayPresence, peers: readonly Peer[]) {
    this.#say = say;
    this.#peers = peers as readonly Peer<P>[];
  }

  /**
   * Says to everybody who has the document open what this page is up to: any JSON of at most 2,048 bytes. Replaces what was said before.
   * Goes out at once if there is a connection, and again after one was lost.
   */
  set(value: P, options: PresenceOptions = {}): void {
    const ttl = options.ttl ?? TTL_MS;
    const json = JSON.stringify(value) as string | undefined;
    if (json === undefined || new TextEncoder().encode(json).length > VALUE_BYTES_MAX) {
      throw new RejoinError("bad-value", `a presence is JSON of at most ${VALUE_BYTES_MAX} bytes`);
    }
    if (!(ttl > 0 && ttl <= 2 ** 31 - 1)) throw new RejoinError("bad-value", "a presence lives for some milliseconds");
    this.#say(JSON.parse(json), ttl);
  }

  /** Takes it back. Closing document, client or page does so too. */
  clear(): void {
    this.#say(undefined, 0);
  }

  /** Who else is there, by id. Without a connection, the other tabs on this store. */
  get peers(): readonly Peer<P>[] {
    return this.#peers;
  }

  /** Calls `listener` now and whenever somebody comes, goes or says something else. Gives what ends the subscription. */
  subscribe(listener: (peers: readonly Peer<P>[]) => void): () => void {
    return listen(this.#listeners, listener, this.#peers);
  }

  /** @internal */
  heard(peers: readonly Peer[]): void {
    this.#peers = peers as readonly Peer<P>[];
    callAll(this.#listeners, this.#peers);
  }

  /** @internal Nobody is told any more. */
  ended(): void {
    this.#listeners.clear();
  }
}
