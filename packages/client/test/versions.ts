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
  await completed(writing);
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
  await completed(transaction);
  database.close();
  return rows.map(([key, value]) => `${new Uint8Array(key as ArrayBuffer)} ${value}`);
}

/** Of edits that wait for a document's history: what of the key follows the document's name, and the format. */
const WAITING = { mark: new Uint8Array(9).fill(255, 1), id: new Uint8Array(8).fill(7), format: 4 };

/** Puts rows of edits that wait where a page load would have left them: the value that they were made on, and then the edits, as kept in JSON. */
export async function putWaiting(name: string, document: string, rows: readonly string[]): Promise<void> {
  const database = await opened(indexedDB.open(name));
  const transaction = database.transaction(["outbox"], "readwrite");
  const text = new TextEncoder();
  for (const [n, json] of rows.entries()) {
    const key = Uint8Array.of(...text.encode(document), ...WAITING.mark, ...WAITING.id, 0, 0, 0, n);
    transaction.objectStore("outbox").put(Uint8Array.of(WAITING.format, ...text.encode(json)), key);
  }
  await completed(transaction);
  database.close();
}

/** What waits of a document, as it is kept. */
export async function waitingRows(name: string, document: string): Promise<string[]> {
  const database = await opened(indexedDB.open(name));
  const start = Uint8Array.of(...new TextEncoder().encode(document), ...WAITING.mark);
  const range = IDBKeyRange.bound(start, Uint8Array.of(...start, 255));
  const values = (await done(database.transaction(["outbox"]).objectStore("outbox").getAll(range))) as Uint8Array[];
  database.close();
  return values.map((value) => new TextDecoder().decode(value.subarray(1)));
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

function completed(transaction: IDBTransaction): Promise<unknown> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error);
  });
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
