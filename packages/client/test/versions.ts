/** A database as earlier and later versions of the package write it. Runs in the page. */

const TABLES = ["meta", "document", "chunk", "outbox"];

/** Writes a database anew as version 1 had it, whose rows of the outbox were numbered. Gives the version that it then has. */
export async function toVersion1(name: string): Promise<number> {
  const now = await opened(indexedDB.open(name));
  const reading = now.transaction(TABLES);
  const rows = await Promise.all(
    TABLES.map(async (table) => {
      const store = reading.objectStore(table);
      const [keys, values] = await Promise.all([done(store.getAllKeys()), done(store.getAll())]);
      return keys.map((key, index) => [new Uint8Array(key as ArrayBuffer), values[index] as Uint8Array<ArrayBuffer>] as const);
    }),
  );
  now.close();
  await done(indexedDB.deleteDatabase(name));
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => TABLES.forEach((table) => request.result.createObjectStore(table));
  const old = await opened(request);
  const writing = old.transaction(TABLES, "readwrite");
  for (const [index, table] of TABLES.entries()) {
    for (const [number, [key, value]] of (rows[index] ?? []).entries()) {
      if (table === "meta" && new TextDecoder().decode(key) === "epoch") continue;
      if (table === "outbox") writing.objectStore(table).put(Uint8Array.of(1, ...value.slice(1)), numbered(key, number));
      else writing.objectStore(table).put(value, key);
    }
  }
  await new Promise((resolve, reject) => {
    writing.oncomplete = resolve;
    writing.onabort = () => reject(writing.error);
  });
  const { version } = old;
  old.close();
  return version;
}

/**
 * Gives the rows of a table whose key begins with `prefix` a format that no version knows, in the same database. Gives them, as they are then, or
 * were already.
 */
export async function toNewerRows(name: string, table: string, prefix: string): Promise<string[]> {
  const database = await opened(indexedDB.open(name));
  const transaction = database.transaction([table], "readwrite");
  const store = transaction.objectStore(table);
  const start = new TextEncoder().encode(prefix);
  const range = IDBKeyRange.bound(start, Uint8Array.of(...start, 255));
  const [keys, values] = await Promise.all([done(store.getAllKeys(range)), done(store.getAll(range))]);
  const rows = keys.map((key, index) => [key, Uint8Array.of(200, ...(values[index] as Uint8Array).slice(1))] as const);
  for (const [key, value] of rows) store.put(value, key);
  await new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error);
  });
  database.close();
  return rows.map(([key, value]) => `${new Uint8Array(key as ArrayBuffer)} ${value}`);
}

/** A document's name and a zero byte, and then the number in eight. */
function numbered(key: Uint8Array<ArrayBuffer>, number: number): Uint8Array<ArrayBuffer> {
  const name = key.slice(0, key.indexOf(0) + 1);
  const old = new Uint8Array(name.length + 8);
  old.set(name);
  new DataView(old.buffer).setBigUint64(name.length, BigInt(number));
  return old;
}

function opened(request: IDBOpenDBRequest): Promise<IDBDatabase> {
  return done(request);
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
