/** Rows that the driver keeps in the local store by itself, as each of their formats was first written: kept for ever, and read by every later version. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { Shelf, type WaitingLine } from "#modules/shelf.js";
import { MemoryStore } from "#modules/store/memory.js";
import type { Row } from "#modules/store/store.js";
import { type Edit, type EngineEvent, initSync, Replica } from "#modules/wasm/rejoin.js";

import { test } from "./timed.js";

/** A line for each row: its key as hexadecimal digits, and what stands behind the byte that says its format. Never changed. */
const WAITING_4 = new URL("../test/kept/waiting-4.txt", import.meta.url);
const NAME = "notes/kept";
const ID = "0102030405060708";

/** What was edited when the rows were written: what the page saw, and each change. One was a change by then, one had no place. */
const BASE = {
  map: [
    ["body", { text: "body", marks: [{ from: 0, to: 4, name: "bold", value: true }] }],
    ["left", { counter: 3 }],
    ["notes", { list: [{ map: [["done", false], ["title", "written before"]] }] }],
    ["things", { map: [["bytes", Uint8Array.of(0, 255)], ["flag", true], ["large", 2n ** 60n], ["moment", new Date(1_700_000_000_123)], ["none", null], ["part", -0]] }],
  ],
};
const EDITS: Edit[][] = [
  [["splice", ["notes"], 1, 0, [{ map: [["title", "a change already"], ["done", true]] }]]],
  [["text", ["body"], 4, 0, "!"], ["mark", ["body"], 0, 2, "bold", null, "none"], ["increment", [], "left", 2]],
  [["put", ["things"], "moment", new Date(1_800_000_000_000)], ["put", ["things"], "bytes", Uint8Array.of(7)], ["put", ["things"], "large", -(2n ** 61n)]],
  [["put", ["notes", 9], "title", "nowhere"]],
  [["put", ["things"], "part", Infinity], ["delete", ["things"], "flag"], ["splice", ["notes"], 2, 0, [{ map: [["title", "by the newcomer"], ["done", false]] }]]],
];
const GONE = { code: "place-gone", reason: "what was edited is not there any more" } as const;

async function keptRows(): Promise<Row[]> {
  const lines = (await readFile(WAITING_4, "utf8")).trimEnd().split("\n");
  return lines.map((line) => {
    const [key = "", json = ""] = line.split(/ (.*)/);
    return [new Uint8Array(Buffer.from(key, "hex")), Uint8Array.of(4, ...new TextEncoder().encode(json))];
  });
}

async function storeOf(rows: readonly Row[]): Promise<MemoryStore> {
  const store = new MemoryStore();
  await store.commit(rows.map(([key, value]) => ({ kind: "put", table: "outbox", key, value })));
  return store;
}

function shelf(store: MemoryStore): Shelf {
  return new Shelf(Promise.resolve(store), undefined, "test");
}

const none = () => undefined;

test("rows of format 4 are read as what they were written for, and written alike today", async () => {
  const [series, ...others] = await shelf(await storeOf(await keptRows())).adopt(NAME, none, none);
  assert.ok(series);
  assert.equal(others.length, 0);
  assert.deepEqual([series.id, series.base], [ID, { at: 3, value: BASE }]);
  const entry = (edits: Edit[], index: number) => ({ n: index + 1, edits, time: 1_790_000_000_000 + index, kept: true, ...(index === 0 && { done: true }), ...(index === 3 && { gone: GONE }) });
  assert.deepEqual(series.entries, EDITS.map(entry));

  const line = JSON.parse(series.text) as WaitingLine;
  const waits = (entry: { done?: true }) => !entry.done;
  const kept = (await keptRows()).slice(1).map(([, value]) => JSON.parse(new TextDecoder().decode(value.slice(1))) as { done?: true });
  assert.deepEqual([line.base?.at, line.entries], [3, kept.filter(waits)], "what is exported");

  const store = new MemoryStore();
  const again = shelf(store).begin(NAME, series.base as NonNullable<typeof series.base>, none);
  for (const { edits, time, done, gone } of series.entries) {
    const added = again.add(edits, time);
    if (done || gone) await store.commit([again.end(added, gone)].map(([key, value]) => ({ kind: "put", table: "outbox", key, value })));
  }
  await again.settled;
  const told = (rows: readonly Row[]) => rows.map(([key, value]) => `${Buffer.from(key).toString("hex")} ${Buffer.from(value).toString("latin1")}`.replace(again.id, ID));
  const [written = []] = await store.read(["outbox"], new Uint8Array());
  assert.deepEqual(told(written), told(await keptRows()));
});

/** A version before the rows gave them all to the engine, and so does this test. */
test("who does not know rows of format 4 says that they are of a newer version, and leaves them", async () => {
  initSync({ module: await readFile(new URL("../modules/wasm/rejoin_bg.wasm", import.meta.url)) });
  const rows = await keptRows();
  const store = await storeOf(rows);
  const engine = new Replica(new Uint8Array(32), false, undefined);
  const document = engine.open(0, NAME);
  const events: EngineEvent[] = [];
  for (let output = engine.pollOutput(); output; output = engine.pollOutput()) {
    if (output.kind === "read") engine.handleRows(0, output.task, await store.read(output.tables, output.prefix));
    if (output.kind === "event") events.push(output.event);
    if (output.kind !== "commit") continue;
    await store.commit(output.writes);
    engine.handleCommitted(0, output.task, undefined);
  }
  const failed = events.find((event) => event.kind === "failed");
  assert.deepEqual([failed?.document, failed?.code], [document, "newer"]);
  assert.deepEqual((await store.read(["outbox"], new Uint8Array()))[0], rows);
});
