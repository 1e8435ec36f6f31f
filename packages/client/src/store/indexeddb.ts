/**
 * The store on this device: one IndexedDB database, one object store for each table.
 *
 * Owns the layout, durability and the meaning of IndexedDB's errors. Owns no format: keys and values belong to the engine.
 * A connection that the browser ends is opened again by the next call; the engine repeats what failed.
 */

import { storeNewer } from "../errors.js";
import { type LocalStore, prefixEnd, type Row, StoreError, TABLES, type Table, type Write } from "./store.js";

/** Format n is the database's version; an older one is brought up in `upgrade`, a newer one refused. */
const FORMAT = 2;
/** How long a tab of an older version may take to let go: it saves what is edited in it. One that is frozen does not. */
const BLOCKED_MS_MAX = 10_000;
/** The row that counts leaders. */
const EPOCH_KEY = new TextEncoder().encode("epoch");

export class IndexedDbStore implements LocalStore {
  readonly durable = true;
  outdated?: () => void;
  readonly #name: string;
  #database: IDBDatabase | undefined;
  #closed = false;

  private constructor(name: string) {
    this.#name = name;
  }

  /** Opens the database `name`, making it if need be. */
  static async open(name: string): Promise<IndexedDbStore> {
    const store = new IndexedDbStore(name);
    await store.#connection();
    return store;
  }

  async read(tables: readonly Table[], prefix: Uint8Array): Promise<Row[][]> {
    const transaction = await this.#transaction(tables, "readonly");
    const results = tables.map((table) => {
      const store = transaction.objectStore(table);
      const range = rangeOf(prefix);
      return { keys: store.getAllKeys(range), values: store.getAll(range) };
    });
    await done(transaction);
    return results.map(({ keys, values }) =>
      keys.result.map((key, index) => [bytes(key), bytes(values.result[index])] satisfies Row),
    );
  }

  async commit(writes: readonly Write[], epoch?: number): Promise<void> {
    const tables = new Set(writes.map((write) => write.table));
    if (tables.size === 0) return;
    if (epoch !== undefined) tables.add("meta");
    const transaction = await this.#transaction([...tables], "readwrite");
    let ended: Error | undefined;
    const end = (error: Error) => {
      ended = error;
      transaction.abort();
    };
    const write = () => {
      try {
        writeAll(transaction, writes);
        transaction.commit();
      } catch (error) {
        end(failure(error));
      }
    };
    if (epoch === undefined) write();
    else {
      const held = transaction.objectStore("meta").get(EPOCH_KEY);
      held.onsuccess = () => {
        if (epochOf(held.result) === epoch) return write();
        end(new StoreError("deposed", "another tab leads"));
      };
    }
    await done(transaction).catch((error: unknown) => {
      throw ended ?? error;
    });
  }

  async lead(): Promise<number> {
    const transaction = await this.#transaction(["meta"], "readwrite");
    const store = transaction.objectStore("meta");
    const held = store.get(EPOCH_KEY);
    let epoch = 0;
    held.onsuccess = () => {
      epoch = epochOf(held.result) + 1;
      store.put(new TextEncoder().encode(String(epoch)), EPOCH_KEY);
      transaction.commit();
    };
    await done(transaction);
    return epoch;
  }

  close(): void {
    this.#closed = true;
    this.#database?.close();
    this.#database = undefined;
  }

  async #transaction(tables: readonly Table[], mode: IDBTransactionMode): Promise<IDBTransaction> {
    for (let attempt = 0; ; attempt += 1) {
      const database = await this.#connection();
      try {
        // The default, `relaxed`, reports success before anything has reached the disk.
        return database.transaction([...tables], mode, { durability: "strict" });
      } catch (error) {
        // The browser has ended the connection without saying so.
        this.#database = undefined;
        if (attempt > 0) throw failure(error);
      }
    }
  }

  async #connection(): Promise<IDBDatabase> {
    if (this.#closed) throw new StoreError("io", "the store is closed");
    if (this.#database) return this.#database;
    const database = await openDatabase(this.#name);
    const lost = () => {
      if (this.#database === database) this.#database = undefined;
    };
    database.onclose = lost;
    // A newer version of the application, in another tab, waits for this one to let go; or all is to be deleted.
    database.onversionchange = ({ newVersion }) => {
      if (newVersion !== null && this.outdated) return this.outdated();
      database.close();
      lost();
    };
    this.#database = database;
    return database;
  }
}

function writeAll(transaction: IDBTransaction, writes: readonly Write[]): void {
  for (const write of writes) {
    const store = transaction.objectStore(write.table);
    if (write.kind === "put") store.put(exact(write.value), exact(write.key));
    else if (write.kind === "delete") store.delete(exact(write.key));
    else store.delete(rangeOf(write.prefix) ?? IDBKeyRange.lowerBound(new Uint8Array()));
  }
}

function epochOf(row: unknown): number {
  return row === undefined ? 0 : Number(new TextDecoder().decode(bytes(row)));
}

/** Deletes a database with all that is in it. */
export function deleteDatabase(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name);
    request.onsuccess = () => resolve();
    request.onerror = () => reject(failure(request.error));
  });
}

function openDatabase(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    let request: IDBOpenDBRequest;
    try {
      request = indexedDB.open(name, FORMAT);
    } catch (error) {
      reject(failure(error));
      return;
    }
    // Format 1 had the same tables, and one tab at a time; the engine reads its rows.
    request.onupgradeneeded = () => {
      const { result } = request;
      for (const table of TABLES) if (!result.objectStoreNames.contains(table)) result.createObjectStore(table);
    };
    let waiting: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    request.onblocked = () => {
      waiting = setTimeout(() => {
        isOver = true;
        reject(new StoreError("io", "another tab holds an older version of the store"));
      }, BLOCKED_MS_MAX);
    };
    request.onsuccess = () => {
      clearTimeout(waiting);
      if (isOver) return request.result.close();
      resolve(request.result);
    };
    request.onerror = () => reject(failure(request.error));
  });
}

function done(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(failure(transaction.error));
  });
}

function failure(error: unknown): Error {
  const { name, message } = error instanceof Error ? error : { name: "", message: String(error) };
  if (name === "VersionError") return storeNewer();
  return new StoreError(name === "QuotaExceededError" ? "full" : "io", `${name}: ${message}`);
}

function rangeOf(prefix: Uint8Array): IDBKeyRange | undefined {
  if (prefix.length === 0) return undefined;
  const end = prefixEnd(prefix);
  return end ? IDBKeyRange.bound(exact(prefix), exact(end), false, true) : IDBKeyRange.lowerBound(exact(prefix));
}

/** A buffer of these bytes alone: a view of a larger one would be stored with all of it. */
function exact(view: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(view);
}

function bytes(value: unknown): Uint8Array {
  return value instanceof ArrayBuffer ? new Uint8Array(value) : (value as Uint8Array);
}
