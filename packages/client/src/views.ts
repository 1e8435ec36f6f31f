/**
 * The last value seen of each document, to be read before its history has loaded.
 *
 * A cache, in a database of its own: nothing is lost with it, no older or newer version of the package waits for it, and it goes first when
 * the device is full. What fails here is as if nothing had been kept.
 */

import { hasLocks } from "./tabs.js";
import type { Kept } from "./wire.js";

const FORMAT = 1;
const TABLE = "view";
/**
 * A page that hangs lets go of nothing, and whoever opens the database while another one wants to delete it waits for that page too: longer
 * than this nobody waits to read from here, or to have room.
 */
const OPEN_MS_MAX = 3_000;
const CLEAR_MS_MAX = 1_000;

/** The name of a store's database, and of what its tabs share. */
export function storeName(store: string): string {
  return `rejoin:${store}`;
}

export class Views {
  readonly #name: string;
  #database: Promise<IDBDatabase | undefined>;
  #isNew = false;
  #isGoing = false;

  private constructor(name: string) {
    this.#name = name;
    this.#database = open(name, () => (this.#isNew = true));
  }

  /** Those of a store; none where tabs can't share one. */
  static of(store: string): Views | undefined {
    return globalThis.indexedDB && hasLocks() ? new Views(`${storeName(store)}:views`) : undefined;
  }

  /** Whether the store was used on this device before. */
  async known(): Promise<boolean> {
    return (await this.#database) !== undefined && !this.#isNew;
  }

  /** The value seen last of a document. */
  async read(document: string): Promise<Kept | undefined> {
    const database = await this.#database;
    try {
      return (await done(database?.transaction(TABLE).objectStore(TABLE).get(document))) as Kept | undefined;
    } catch {
      return undefined;
    }
  }

  /** Keeps a value. */
  async write(document: string, value: Kept): Promise<void> {
    const database = await this.#database;
    try {
      await done(database?.transaction(TABLE, "readwrite").objectStore(TABLE).put(value, document));
    } catch {
      // There is none the next time.
    }
  }

  /** Lets all go and keeps nothing more. Where a page holds on to it, it is gone once that page lets go or ends. */
  async clear(): Promise<void> {
    const database = await this.#database;
    this.#database = Promise.resolve(undefined);
    database?.close();
    if (this.#isGoing) return;
    this.#isGoing = true;
    const gone = done(indexedDB.deleteDatabase(this.#name)).catch(() => undefined);
    void gone.then(() => (this.#isGoing = false));
    await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, CLEAR_MS_MAX))]);
  }

  async close(): Promise<void> {
    (await this.#database)?.close();
  }
}

function open(name: string, isNew: () => void): Promise<IDBDatabase | undefined> {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.open(name, FORMAT);
      let isLate = false;
      const late = setTimeout(() => {
        isLate = true;
        resolve(undefined);
      }, OPEN_MS_MAX);
      request.onupgradeneeded = () => {
        isNew();
        request.result.createObjectStore(TABLE);
      };
      request.onsuccess = () => {
        const { result } = request;
        clearTimeout(late);
        if (isLate) return result.close();
        result.onversionchange = () => result.close();
        resolve(result);
      };
      request.onerror = () => {
        clearTimeout(late);
        resolve(undefined);
      };
    } catch {
      resolve(undefined);
    }
  });
}

function done<T>(request: IDBRequest<T> | undefined): Promise<T | undefined> {
  if (!request) return Promise.resolve(undefined);
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
