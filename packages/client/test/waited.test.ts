/**
 * Edits that wait for a document's history, as chance would have it: pages are killed at any moment, and what was told as saved is in the
 * document in the end, once.
 *
 * The model of a worker's engine commits a change together with the row that the edits stand in, or neither. That the real one does is tested
 * with it (`waiting.test.ts`, and sync-core's own tests).
 */

import assert from "node:assert/strict";

import { SyncDocument } from "#modules/document.js";
import { Hosted } from "#modules/hosted.js";
import { edited, nothing, shownOf, Writer } from "#modules/mirror.js";
import { Shelf } from "#modules/shelf.js";
import { MemoryStore } from "#modules/store/memory.js";
import type { Row, Write } from "#modules/store/store.js";
import type { Edit, Special } from "#modules/wasm/rejoin.js";
import type { Kept } from "#modules/wire.js";

import { type Random, random } from "./support/random.js";
import { toldBeside } from "./support/special.js";
import { test } from "./timed.js";

type Any = any; // eslint-disable-line @typescript-eslint/no-explicit-any

const SEEDS = 300;
/** Where in the log the view stands. */
const AT = 7;

const VIEW: Kept = { map: [["body", { text: "body" }], ["note", { map: [["words", { list: [] }]] }], ["words", { list: ["one", "two", "three"] }]] };

type Shown = ReturnType<typeof shownOf>;
type Operation = { client: Client; done: () => void; run: () => Promise<unknown> };

/** What a device keeps, and the document as its engine does. */
class Device {
  readonly store = new MemoryStore();
  /** What is to be done in the store, in order. */
  operations: Operation[] = [];
  committed = shownOf(VIEW);
  /** Whether the history is there: before, the engine has nothing. */
  isThere = false;

  /** Does the next thing, or all. What a page that was killed wanted is not done. */
  async turn(all = false): Promise<void> {
    do {
      const next = this.operations.shift();
      if (next && !next.client.isDead) {
        await next.run();
        next.done();
      }
      await new Promise((resolve) => setImmediate(resolve));
    } while (all && this.operations.length > 0);
  }
}

class Client {
  readonly #device: Device;
  readonly #next: Random;
  isDead = false;
  #shown: Shown;
  #change = 0;
  hosted!: Hosted;
  doc!: SyncDocument<Any>;
  readonly #toPage: Any[] = [];
  readonly #toWorker: Any[] = [];

  private constructor(device: Device, next: Random) {
    this.#device = device;
    this.#next = next;
    this.#shown = device.committed;
  }

  static async open(device: Device, next: Random): Promise<Client> {
    const client = new Client(device, next);
    let isOpen = false;
    const opening = client.#open().then(() => (isOpen = true));
    while (!isOpen) await device.turn();
    await opening;
    return client;
  }

  async #open(): Promise<void> {
    const { store } = this.#device;
    const shelf = new Shelf(Promise.resolve({ durable: false, read: store.read.bind(store), commit: (writes: Write[]) => this.#commit(writes), close: () => undefined }), undefined, "test");
    const driver: Any = {
      now: () => 0,
      until: async (reached: () => unknown) => reached(),
      status: (_: unknown, last: Any) => ({ ...last, state: "offline" }),
      peek: (call: (engine: Any) => unknown) => call(this.#engine),
      turn: (call: (engine: Any, now: number) => unknown) => call(this.#engine, 0),
    };
    const opened = () => {
      this.hosted.found();
      this.hosted.handle({ kind: "ready", document: 1 });
    };
    const post = (answer: unknown) => void this.#toPage.push(structuredClone(answer));
    this.hosted = new Hosted(1, "x", [], undefined, { driver: Promise.resolve(driver), shelf, changed: () => undefined, keep: async () => undefined, post, opened });
    await this.hosted.loaded;
    this.#toPage.length = 0;
    const { opening, value } = structuredClone(this.hosted.opening([]));
    const channel: Any = { send: (request: unknown) => void this.#toWorker.push(structuredClone(request)), call: async () => undefined };
    this.doc = new SyncDocument<Any>(channel, "x", shownOf(value), opening, { edited: () => undefined, close: () => true });
  }

  #commit(writes: Write[], more: () => void = () => undefined): Promise<void> {
    return new Promise((resolve) => {
      const run = () => this.#device.store.commit(writes).then(more);
      this.#device.operations.push({ client: this, done: resolve, run });
    });
  }

  readonly #engine: Any = {
    open: () => 1,
    init: () => undefined,
    applyWaiting: () => undefined,
    outbox: () => [],
    marks: () => undefined,
    cursor: () => "cursor",
    cursors: () => [],
    holds: () => ({ cursor: this.#device.isThere ? AT : undefined, clock: [] }),
    value: (_: number, special: Special) => toldBeside(this.#device.isThere ? this.#shown : nothing(), special),
    change: (_: number, __: number, ___: number, edits: Edit[], key?: Uint8Array, value?: Uint8Array) => {
      const writer = new Writer(this.#shown);
      for (const edit of edits) assert.ok(writer.fromEngine(edit), "an edit that the engine has no place for");
      const [shown, change] = [(this.#shown = writer.done()), (this.#change += 1)];
      const writes: Write[] = key && value ? [{ kind: "put", table: "outbox", key, value }] : [];
      void this.#commit(writes, () => (this.#device.committed = shown)).then(() => this.hosted.handle({ kind: "saved", document: 1, change }));
      return change;
    },
  };

  /** The history comes, in which somebody has written meanwhile. */
  comes(edits: Edit[]): void {
    this.#device.isThere = true;
    this.#device.committed = this.#shown = edited(this.#shown, edits);
    this.hosted.handle({ kind: "changed", document: 1, local: false });
  }

  deliver(all = true): void {
    while (!this.isDead && this.#toPage.length + this.#toWorker.length > 0 && (all || this.#next(3) > 0)) {
      const down = this.#toPage.length > 0 && (this.#toWorker.length === 0 || this.#next(2) === 0);
      const message = down ? this.#toPage.shift() : this.#toWorker.shift();
      if (down) this.doc.handle(message);
      else if (message.kind === "edit") this.hosted.edit(message);
      else if (message.kind === "seen") this.hosted.seen(message.base);
    }
  }
}

/** Writes a word that nobody else writes, in one of three places. */
function write(draft: Any, next: Random, word: string): void {
  const place = next(4);
  if (place === 0 && draft.note) draft.note.words.push(word);
  else if (place === 1) draft.body.insert(next(2) * draft.body.length, `<${word}>`);
  else draft.words.splice(next(draft.words.length + 1), 0, word);
  // Places move.
  const old = [...draft.words].findIndex((word: string) => word === "one" || word === "three");
  if (next(6) === 0 && old >= 0) draft.words.splice(old, 1);
}

const REMOTE: Edit[][] = [[], [["splice", ["words"], 1, 1, ["else"]]], [["text", ["body"], 0, 2, "B"]], [["delete", [], "note"]], [["splice", ["words"], 0, 0, ["first", "second"]], ["text", ["body"], 4, 0, "!"]]];

test("what was told as saved is in the document once the history is there, once, whenever pages are killed; or it says that its place is gone", async (t) => {
  (globalThis as Any).reportError = () => undefined;
  t.after(() => delete (globalThis as Any).reportError);
  const met = { words: 0, gone: 0, kills: 0 };
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const next = random(seed);
    const device = new Device();
    await seeded(device);
    let client = await Client.open(device, next);
    const [saved, written] = [new Set<string>(["seed"]), new Set<string>(["seed"])];
    for (let step = 0; step < 30; step += 1) {
      const dice = next(10);
      if (dice < 3) {
        const word = `w${step}`;
        written.add(word);
        const edit = client.doc.change((draft: Any) => write(draft, next, word));
        client.doc.saved(edit).then(() => saved.add(word), () => undefined);
      } else if (dice < 5) client.deliver(false);
      else if (dice < 8) await device.turn();
      else if (dice === 8 && next(3) === 0) {
        client.isDead = true;
        met.kills += 1;
        client = await Client.open(device, next);
        if (!device.isThere) for (const word of saved) assert.equal(count(client.doc.value, word), 1, `seed ${seed}: ${word} is in sight offline`);
      } else if (dice === 9 && !device.isThere && step > 10) client.comes(REMOTE[next(REMOTE.length)] as Edit[]);
    }
    if (!device.isThere) client.comes([]);
    client.deliver();
    await device.turn(true);
    client.isDead = true;
    client = await Client.open(device, next);
    await device.turn(true);
    client.deliver();
    const gone = client.doc.outbox.map(({ state }) => state);
    assert.ok(gone.every((state) => state === "rejected"), `seed ${seed}: nothing waits`);
    const rows = (await device.store.read(["outbox"], new Uint8Array()))[0] as Row[];
    assert.equal(rows.length, gone.length, `seed ${seed}: only what is gone is kept`);
    const kept = rows.map(([, value]) => new TextDecoder().decode(value.subarray(1))).join();
    for (const word of written) {
      const times = count(device.committed.value, word);
      assert.ok(times <= 1, `seed ${seed}: ${word} is there ${times} times`);
      if (saved.has(word)) assert.ok(times === 1 || kept.includes(`${word}`), `seed ${seed}: ${word} was told as saved`);
    }
    assert.deepEqual(client.doc.value, device.committed.value, `seed ${seed}`);
    met.words += saved.size;
    met.gone += gone.length;
  }
  assert.ok(met.words > SEEDS && met.gone > 0 && met.kills > SEEDS / 2, JSON.stringify(met));
});

/** What an earlier page load has left: the first one, which saw what the server has shown. */
async function seeded(device: Device): Promise<void> {
  const series = new Shelf(Promise.resolve(device.store), undefined, "test").begin("x", { at: AT, value: VIEW }, () => undefined);
  series.add([["splice", ["words"], 3, 0, ["seed"]]], 1);
  await series.settled;
}

/** How often a word stands in a value. */
function count(value: unknown, word: string): number {
  return JSON.stringify(value).split(new RegExp(`[<"]${word}[>"]`)).length - 1;
}
