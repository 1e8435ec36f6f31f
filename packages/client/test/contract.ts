/** The contract of a local store, part by part as the engine's own stores are held to it (`tests/src/contract/local_store.rs`). Runs in the page. */

import type { LocalStore, Row, Table, Write } from "#modules/store/store.js";

/** A place for one local store, empty at first. */
export type Fixture = {
  /** Opens the store; what was opened before has been closed. */
  open(): Promise<LocalStore>;
  /** Makes writes of the open store fail from now on, or work again. Not there if this fixture can't. */
  breakWrites?: (broken: boolean) => Promise<void>;
};

/** Runs the whole suite, each part in a place of its own; gives the names of the parts that held. Throws a part's reason. */
export async function run(make: (part: string) => Fixture): Promise<string[]> {
  const held: string[] = [];
  for (const part of PARTS) {
    try {
      await part(make(part.name));
    } catch (error) {
      throw new Error(`${part.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
    held.push(part.name);
  }
  return held;
}

const ALL: readonly Table[] = ["meta", "document", "chunk", "outbox"];

/** Bytes from a string of characters below 256. */
function b(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function put(table: Table, key: string, value: string | Uint8Array): Write {
  return { kind: "put", table, key: b(key), value: typeof value === "string" ? b(value) : value };
}

function remove(table: Table, key: string): Write {
  return { kind: "delete", table, key: b(key) };
}

function removePrefix(table: Table, prefix: string): Write {
  return { kind: "delete-prefix", table, prefix: b(prefix) };
}

function shown(rows: readonly Row[]): string {
  return JSON.stringify(rows.map(([key, value]) => [[...key], value.length > 100 ? value.length : [...value]]));
}

async function read(store: LocalStore, table: Table, prefix: string): Promise<Row[]> {
  const [rows, ...more] = await store.read([table], b(prefix));
  if (!rows || more.length > 0) throw new Error("one table was asked for");
  return rows;
}

async function check(store: LocalStore, table: Table, prefix: string, want: [string, string | Uint8Array][]): Promise<void> {
  const wanted = want.map(([key, value]): Row => [b(key), typeof value === "string" ? b(value) : value]);
  const got = shown(await read(store, table, prefix));
  if (got !== shown(wanted)) throw new Error(`${table} ${JSON.stringify(prefix)}: ${got}, not ${shown(wanted)}`);
}

async function an_empty_store_reads_empty(fixture: Fixture): Promise<void> {
  const store = await fixture.open();
  for (const table of ALL) {
    await check(store, table, "", []);
    await check(store, table, "a", []);
  }
  await store.commit([]);
  await store.commit([remove("meta", "a"), removePrefix("chunk", "")]);
  store.close();
}

async function rows_come_back_in_key_order(fixture: Fixture): Promise<void> {
  const store = await fixture.open();
  const keys = ["b", "a\x00\x01", "", "a", "a\xff", "\xff\xff", "a\x00", "B"];
  await store.commit(keys.map((key) => put("outbox", key, `${key}!`)));
  await check(store, "outbox", "", keys.toSorted().map((key) => [key, `${key}!`]));
  const large = new Uint8Array(300_000).fill(7);
  await store.commit([put("outbox", "large", large)]);
  await check(store, "outbox", "large", [["large", large]]);
  await store.commit([put("outbox", "large", "")]);
  await check(store, "outbox", "large", [["large", ""]]);
  store.close();
}

async function tables_are_apart(fixture: Fixture): Promise<void> {
  const store = await fixture.open();
  await store.commit(ALL.map((table) => put(table, "key", table)));
  for (const table of ALL) await check(store, table, "", [["key", table]]);
  const together = await store.read(["outbox", "meta"], b("k"));
  if (together.map(shown).join() !== [[[b("key"), b("outbox")]], [[b("key"), b("meta")]]].map((rows) => shown(rows as Row[])).join()) {
    throw new Error("tables come back in the order in which they were asked for");
  }
  await store.commit([remove("chunk", "key"), removePrefix("meta", "")]);
  await check(store, "meta", "", []);
  await check(store, "document", "", [["key", "document"]]);
  await check(store, "chunk", "", []);
  await check(store, "outbox", "", [["key", "outbox"]]);
  store.close();
}

async function prefixes_end_where_they_end(fixture: Fixture): Promise<void> {
  const store = await fixture.open();
  const keys = ["a", "a\x00\x01", "a\x00\xff", "a\x01", "a\xff", "a\xff\xff", "b"];
  await store.commit(keys.map((key) => put("chunk", key, "v")));
  await check(store, "chunk", "a\x00", [["a\x00\x01", "v"], ["a\x00\xff", "v"]]);
  await check(store, "chunk", "a\xff", [["a\xff", "v"], ["a\xff\xff", "v"]]);
  await check(store, "chunk", "a\xff\xff", [["a\xff\xff", "v"]]);
  await check(store, "chunk", "a\x02", []);
  if ((await read(store, "chunk", "a")).length !== 6) throw new Error("six keys begin with a");
  await store.commit([removePrefix("chunk", "a\xff")]);
  await check(store, "chunk", "a\x01", [["a\x01", "v"]]);
  await check(store, "chunk", "a\xff", []);
  await store.commit([removePrefix("chunk", "a\x00"), remove("chunk", "b")]);
  await check(store, "chunk", "", [["a", "v"], ["a\x01", "v"]]);
  store.close();
}

async function writes_of_a_commit_happen_in_order(fixture: Fixture): Promise<void> {
  const store = await fixture.open();
  const t = "document";
  await store.commit([put(t, "a", "1"), put(t, "a", "2"), put(t, "b", "1"), remove(t, "b")]);
  await check(store, t, "", [["a", "2"]]);
  await store.commit([remove(t, "a"), put(t, "a", "3"), put(t, "ab", "1")]);
  await check(store, t, "", [["a", "3"], ["ab", "1"]]);
  await store.commit([removePrefix(t, "a"), put(t, "ac", "4")]);
  await check(store, t, "", [["ac", "4"]]);
  store.close();
}

async function everything_is_there_after_reopening(fixture: Fixture): Promise<void> {
  let store = await fixture.open();
  if (!store.durable) return;
  await store.commit([put("meta", "m", "1"), put("outbox", "a\x00\x01", "2")]);
  await store.commit([put("outbox", "a\x00\x02", "3"), remove("outbox", "a\x00\x01")]);
  store.close();
  store = await fixture.open();
  await check(store, "meta", "", [["m", "1"]]);
  await check(store, "outbox", "", [["a\x00\x02", "3"]]);
  await store.commit([put("meta", "m", "4")]);
  store.close();
  store = await fixture.open();
  await check(store, "meta", "", [["m", "4"]]);
  store.close();
}

async function a_failed_commit_keeps_nothing(fixture: Fixture): Promise<void> {
  let store = await fixture.open();
  await store.commit([put("meta", "m", "1")]);
  if (!fixture.breakWrites) return;
  await fixture.breakWrites(true);
  // Large, so that a browser's bound on all that a page keeps notices.
  const large = new Uint8Array(300_000).fill(7);
  const writes = [put("meta", "m", "2"), put("outbox", "o", large), remove("meta", "m")];
  const code = await store.commit(writes).then(
    () => "none",
    (error: unknown) => (error as { code?: string }).code,
  );
  if (code !== "full" && code !== "io") throw new Error(`a failure that may pass, not ${code}`);
  await check(store, "meta", "", [["m", "1"]]);
  await check(store, "outbox", "", []);
  await fixture.breakWrites(false);
  store.close();
  store = await fixture.open();
  await check(store, "meta", "", [["m", "1"]]);
  await store.commit(writes.slice(0, 2));
  await check(store, "meta", "", [["m", "2"]]);
  await check(store, "outbox", "", [["o", large]]);
  store.close();
}

async function a_lost_connection_is_opened_again(fixture: Fixture): Promise<void> {
  const store = await fixture.open();
  await store.commit([put("meta", "m", "1")]);
  // What a browser does that has lost its database, as seen from outside: the connection is closed under the store.
  for (const database of opened) database.close();
  await store.commit([put("meta", "n", "2")]);
  await check(store, "meta", "", [["m", "1"], ["n", "2"]]);
  store.close();
}

/** Connections to databases that the page has opened. */
const opened: IDBDatabase[] = [];
const { open } = IDBFactory.prototype;
IDBFactory.prototype.open = function (name: string, version?: number) {
  const request = open.call(this, name, version);
  request.addEventListener("success", () => opened.push(request.result));
  return request;
};

const PARTS: readonly ((fixture: Fixture) => Promise<void>)[] = [
  an_empty_store_reads_empty,
  rows_come_back_in_key_order,
  tables_are_apart,
  prefixes_end_where_they_end,
  writes_of_a_commit_happen_in_order,
  everything_is_there_after_reopening,
  a_failed_commit_keeps_nothing,
  a_lost_connection_is_opened_again,
];
