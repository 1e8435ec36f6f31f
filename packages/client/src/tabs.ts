/**
 * The tabs on one store: each holds a number by a lock, one of them the lock of the leader, and all hear each other on a channel.
 *
 * Owns locks and channel. What tabs say, and what leading means, is the engine's business. A lock goes with its page, however that ends.
 */

import { RejoinError } from "./errors.js";

/** Most tabs on one store, as the engine has it. */
const TABS_MAX = 256;

/** What tabs say goes by this. */
type Said = { from: number; to: number | undefined; message: Uint8Array };

/** Whether the browser has locks for this page; it has none where the page came over plain http from another machine. */
export function hasLocks(): boolean {
  return Boolean(globalThis.navigator?.locks);
}

export class Tabs {
  #number = 0;
  /** What they share. */
  readonly name: string;
  readonly #channel: BroadcastChannel;
  #free = () => {};
  #moved: () => void = () => {};
  #left = false;
  readonly #watched = new Set<number>();
  /** Ends the wait for the leader's lock, or frees it. */
  #standing = new AbortController();

  private constructor(name: string) {
    this.name = name;
    this.#channel = new BroadcastChannel(name);
  }

  /** This tab's number; no other tab has it. */
  get number(): number {
    return this.#number;
  }

  static async join(name: string): Promise<Tabs> {
    const tabs = new Tabs(name);
    try {
      await tabs.#sit();
    } catch (error) {
      tabs.leave();
      throw error;
    }
    return tabs;
  }

  /** Takes the lowest number that no other tab has; and another one whenever its lock is taken away: then another tab may have this one's. */
  async #sit(): Promise<void> {
    const lost = () => {
      if (!this.#left) void this.#sit().then(() => this.#moved(), () => undefined);
    };
    for (let number = 0; number < TABS_MAX; number += 1) {
      const free = await take(`${this.name}#${number}`, lost);
      if (!free) continue;
      [this.#number, this.#free] = [number, free];
      return this.#left ? free() : undefined;
    }
    throw new RejoinError("store-in-use", `${TABS_MAX} tabs have this store open`);
  }

  /** Calls `heard` with what other tabs say, and `moved` when this one has got another number. */
  listen(heard: (from: number, message: Uint8Array) => void, moved: () => void): void {
    this.#moved = moved;
    this.#channel.onmessage = ({ data }: MessageEvent<Said>) => {
      if (data.to === undefined || data.to === this.number) heard(data.from, data.message);
    };
  }

  /** Calls `gone` once a tab that has said something has ended, which it may not say itself. */
  watch(number: number, gone: () => void): void {
    if (this.#watched.has(number) || this.#left) return;
    this.#watched.add(number);
    const ended = () => {
      this.#watched.delete(number);
      gone();
    };
    navigator.locks.request(`${this.name}#${number}`, ended).catch(() => undefined);
  }

  /** Says something to one tab, or to all others. */
  say(to: number | undefined, message: Uint8Array): void {
    if (!this.#left) this.#channel.postMessage({ from: this.number, to, message } satisfies Said);
  }

  /**
   * Calls `lead` once no other tab leads, and `lost` if the lock is taken away from this one. With `steal` it is taken away from whoever has
   * it. Frees the lock first if this tab has it, and takes the place of an earlier call.
   */
  stand(lead: () => void, lost: () => void, steal = false): void {
    this.#standing.abort();
    if (this.#left) return;
    const { signal } = (this.#standing = new AbortController());
    let led = false;
    const held = () =>
      new Promise<void>((resolve) => {
        if (signal.aborted) return resolve();
        signal.addEventListener("abort", () => resolve());
        led = true;
        lead();
      });
    navigator.locks.request(`${this.name}#leader`, steal ? { steal } : { signal }, held).catch(() => {
      if (led && !signal.aborted) lost();
    });
  }

  /** Frees all locks and the channel. */
  leave(): void {
    this.#left = true;
    this.#standing.abort();
    this.#channel.close();
    this.#free();
  }
}

/** Takes a lock unless somebody has it; gives what frees it. Calls `lost` if it is taken away. */
export function take(name: string, lost: () => void): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    let had = false;
    const held = (lock: Lock | null) => {
      had = lock !== null;
      if (had) return new Promise<void>((free) => resolve(free));
      resolve(undefined);
      return undefined;
    };
    navigator.locks.request(name, { ifAvailable: true }, held).catch((error: unknown) => (had ? lost() : reject(error)));
  });
}
