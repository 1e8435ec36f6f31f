/** The compiled engine by itself, in Node: what crosses between JavaScript and it, one type at a time, on a store in memory. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { before } from "node:test";

import { MemoryStore } from "#modules/store/memory.js";
import { type Edit, type EngineEvent, initSync, type NewValue, type Output, Replica, type StoreFailure } from "#modules/wasm/rejoin.js";

import { test } from "./timed.js";

before(async () => {
  const module = await readFile(new URL("../modules/wasm/rejoin_bg.wasm", import.meta.url));
  initSync({ module });
});

/** An engine without a line, which gets from its store what it asks for. */
class Device {
  readonly engine: Replica;
  readonly events: EngineEvent[] = [];
  readonly sent: Uint8Array[] = [];
  /** What commits fail with. */
  failure: StoreFailure | undefined;

  constructor(readonly store = new MemoryStore()) {
    this.engine = new Replica(crypto.getRandomValues(new Uint8Array(32)), true, undefined);
  }

  /** Does what the engine wants until it wants nothing. */
  async drain(): Promise<void> {
    for (let output = this.engine.pollOutput(); output; output = this.engine.pollOutput()) await this.#do(output);
  }

  async #do(output: Output): Promise<void> {
    if (output.kind === "read") this.engine.handleRows(0, output.task, await this.store.read(output.tables, output.prefix));
    if (output.kind === "commit") {
      if (!this.failure) await this.store.commit(output.writes);
      this.engine.handleCommitted(0, output.task, this.failure);
    }
    if (output.kind === "event") this.events.push(output.event);
    if (output.kind === "send") this.sent.push(output.frame);
  }

  async open(name: string): Promise<number> {
    const document = this.engine.open(0, name);
    await this.drain();
    assert.ok(this.events.some((event) => event.kind === "ready" && event.document === document));
    return document;
  }

  change(document: number, ...edits: Edit[]): number {
    return this.engine.change(0, 0, document, edits);
  }

  /** The value, and where texts and counters stand in it. */
  value(document: number): { value: unknown; special: string[] } {
    const special: string[] = [];
    const value = this.engine.value(document, (_, key, kind) => special.push(`${key} ${kind}`));
    return { value, special };
  }
}

const EVERY: [string, NewValue][] = [
  ["nothing", null],
  ["flag", true],
  ["whole", 3],
  ["part", 0.5],
  ["large", 2n ** 60n],
  ["words", "é 😀"],
  ["moment", new Date(1_700_000_000_123)],
  ["bytes", Uint8Array.of(0, 255)],
  ["text", { text: "ab" }],
  ["count", { counter: 7 }],
  ["list", { list: [1, { map: [["deep", { list: [] }]] }] }],
];

test("every kind of value goes into the engine and comes back as itself, also from the store", async () => {
  const device = new Device();
  const document = await device.open("values");
  for (const [key, value] of EVERY) device.change(document, ["put", [], key, value]);
  await device.drain();
  const shown = device.value(document);
  assert.deepEqual(shown.value, {
    nothing: null,
    flag: true,
    whole: 3,
    part: 0.5,
    large: 2n ** 60n,
    words: "é 😀",
    moment: new Date(1_700_000_000_123),
    bytes: Uint8Array.of(0, 255),
    text: "ab",
    count: 7,
    list: [1, { deep: [] }],
  });
  assert.deepEqual(shown.special.toSorted(), ["count counter", "text text"]);
  const again = new Device(device.store);
  assert.deepEqual(again.value(await again.open("values")), shown);
});

test("edits do what they say, and places in a text are counted in code points or as JavaScript does", async () => {
  const device = new Device();
  const document = await device.open("edits");
  device.change(document, ["put", [], "text", { text: "a😀c" }], ["put", [], "list", { list: ["x", "y", "z"] }], ["put", [], "count", { counter: 1 }]);
  device.change(document, ["text", ["text"], 2, 1, "é!"], ["splice", ["list"], 1, 1, ["new", 2]], ["increment", [], "count", -3]);
  const cursors = [device.engine.cursor(document, ["text"], 2, false), device.engine.cursor(document, ["text"], 3, true)];
  assert.equal(cursors[0], cursors[1]);
  device.change(document, ["text", ["text"], 0, 1, ""], ["delete", [], "count"]);
  assert.deepEqual(device.value(document).value, { text: "😀é!", list: ["x", "new", 2, "z"] });
  assert.equal(device.engine.exact(document, ["text"], cursors[0] as string), 1);
  assert.equal(device.engine.position(document, cursors[0] as string), 2);
});

test("marks are made by code points and told as JavaScript counts, now and as they were", async () => {
  const device = new Device();
  const document = await device.open("marks");
  device.change(document, ["put", [], "plain", { text: "none" }], ["put", [], "list", { list: [{ map: [["body", { text: "a😀bc" }]] }] }]);
  const path = ["list", 0, "body"];
  device.change(document, ["mark", path, 1, 3, "bold", true], ["mark", path, 3, 4, "link", "x:", "both"]);
  const then = device.engine.history(document).at(-1)?.change as string;
  device.change(document, ["text", path, 0, 0, "😀"], ["mark", path, 3, 4, "bold", null]);
  assert.deepEqual(device.engine.marks(document, path), [{ from: 3, to: 5, name: "bold", value: true }, { from: 6, to: 7, name: "link", value: "x:" }]);
  assert.equal(device.engine.marks(document, ["plain"]), undefined);
  const kinds: unknown[] = [];
  device.engine.value(document, (_, key, kind) => kinds.push([key, kind]));
  device.engine.valueAt(document, then, (_, key, kind) => kinds.push([key, kind]));
  const were = [{ from: 1, to: 4, name: "bold", value: true }, { from: 4, to: 5, name: "link", value: "x:" }];
  assert.deepEqual(kinds, [["body", device.engine.marks(document, path)], ["plain", "text"], ["body", were], ["plain", "text"]]);
  device.change(document, ["put", [], "copy", { text: "a😀bc", marks: were }], ["splice", ["list"], 0, 0, [1, { map: [["body", { text: "none" }]] }]]);
  assert.deepEqual(device.engine.marks(document, ["copy"]), were);
  await device.drain();
  // The texts with marks are found where they stand now, and from the store too.
  const again = new Device(device.store);
  for (const [engine, id] of [[device.engine, document], [again.engine, await again.open("marks")]] as const) {
    const found: unknown[] = [];
    engine.value(id, (_, key, kind) => found.push([key, kind]));
    assert.deepEqual(found, [["copy", were], ["body", "text"], ["body", engine.marks(id, ["list", 2, "body"])], ["plain", "text"]]);
    assert.equal(engine.marks(id, ["list", 2, "body"])?.length, 2);
  }
});

test("what can't be done throws an Error with a stable code, and leaves nothing", async () => {
  const device = new Device();
  const document = await device.open("refusals");
  device.change(document, ["put", [], "words", "as before"], ["put", [], "count", { counter: 1 }]);
  await device.drain();
  const before = device.value(document);
  const id = "0".repeat(32);
  const calls: [string, () => unknown][] = [
    ["bad-name", () => device.engine.open(0, "")],
    ["bad-name", () => device.engine.open(0, "x".repeat(257))],
    ["not-ready", () => device.engine.change(0, 0, document + 1, [["put", [], "a", 1]])],
    ["bad-value", () => device.change(document, ["put", [], "a", 1], ["put", ["nowhere"], "b", 2])],
    ["bad-value", () => device.change(document, ["increment", [], "words", 1])],
    ["bad-value", () => device.change(document, ["increment", [], "count", 0.5])],
    ["bad-value", () => device.change(document, ["put", [], "a", Symbol("none") as unknown as NewValue])],
    ["bad-value", () => device.change(document, ["fold"] as unknown as Edit)],
    ["bad-value", () => device.change(document, ["put", [], "t", { text: "ab" }], ["mark", ["t"], 1, 3, "bold", true])],
    ["bad-value", () => device.change(document, ["put", [], "l", { list: [1, 2] }], ["mark", ["l"], 0, 1, "bold", true])],
    ["refused", () => device.change(document, ["put", [], "t", { text: "ab" }], ["mark", ["t"], 0, 1, "x".repeat(1_025), true])],
    ["bad-value", () => device.engine.init(0, document, "kept", "heap", undefined)],
    ["reserved-key", () => device.change(document, ["put", [], "$settled", 1])],
    ["conflict-gone", () => device.engine.resolveConflict(0, 0, document, id, 1, { value: 1 }, undefined)],
    ["conflict-gone", () => device.engine.reopenConflict(0, 0, document, id)],
  ];
  for (const [code, call] of calls) {
    assert.throws(call, (error) => error instanceof Error && (error as Error & { code: string }).code === code && error.message.length > 10, String(call));
  }
  assert.deepEqual(device.value(document), before);
});

test("an edit is unsaved, then saved, then sent, as its store and its line say; a store that is full loses none", async () => {
  const device = new Device();
  const document = await device.open("outbox");
  const states = () => device.engine.outbox(document).map(({ state }) => state);
  device.failure = { code: "full", message: "no room" };
  const change = device.change(document, ["put", [], "a", 1]);
  assert.deepEqual(states(), ["unsaved"]);
  await device.drain();
  assert.ok(device.events.some((event) => event.kind === "storage-failed" && event.code === "full"));
  assert.deepEqual([states(), device.engine.status(document)?.state], [["unsaved"], "storage-full"]);
  device.failure = undefined;
  const due = device.engine.pollTimeout();
  assert.ok(due !== undefined && due > 0, "it is tried again");
  device.engine.handleTimeout(due);
  await device.drain();
  assert.deepEqual(states(), ["saved"]);
  assert.ok(device.events.some((event) => event.kind === "saved" && event.change === change));
  assert.ok(device.engine.export(document).length > 0, "what the server does not have can be taken away");
});
