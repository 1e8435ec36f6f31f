/**
 * The mirror: a page's edits meet what has come to the worker meanwhile, and both come to the same value.
 *
 * The model of a worker's engine is plain edits on a value, so that chance can try many thousand orders. That the real engine makes the
 * same of the same edits is tested by `mirror.test.ts`.
 */

import assert from "node:assert/strict";

import type { Kind, Shown } from "#modules/diff.js";
import { SyncDocument } from "#modules/document.js";
import type { RejoinError } from "#modules/errors.js";
import { Hosted } from "#modules/hosted.js";
import { isText, marksOf, remarks } from "#modules/marks.js";
import { crossing, edited, kindAt, lookUp, nothing, shownOf, Writer } from "#modules/mirror.js";
import { rebase } from "#modules/rebase.js";
import { Shelf } from "#modules/shelf.js";
import { MemoryStore } from "#modules/store/memory.js";
import type { Edit, NewValue, Path, Special } from "#modules/wasm/rejoin.js";
import type { Kept } from "#modules/wire.js";

import { type Random, random } from "./support/random.js";
import { toldBeside } from "./support/special.js";
import { test } from "./timed.js";

type Any = any; // eslint-disable-line @typescript-eslint/no-explicit-any

const START: Kept = {
  map: [
    ["notes", { list: [{ map: [["body", { text: "ab😀cd" }], ["left", { counter: 1 }], ["tags", { list: ["x", "y"] }]] }, "plain", { list: [1, { text: "zz" }] }] }],
    ["body", { text: "hello 😀 world" }],
    ["left", { counter: 5 }],
    ["title", "t"],
  ],
};

/** All places in a value, with what stands there. */
function places(shown: Shown, path: Path = [], kind?: Kind): [Path, unknown, Kind | undefined][] {
  const value = lookUp(shown.value, path);
  const found: [Path, unknown, Kind | undefined][] = [[path, value, kind]];
  if (typeof value !== "object" || value === null) return found;
  const kinds = shown.kinds.get(value);
  const keys = Array.isArray(value) ? [...value.keys()] : Object.keys(value);
  return found.concat(keys.flatMap((key) => places(shown, [...path, key], kinds?.get(key))));
}

/** What JavaScript sorts by itself, what it takes for something else, and what UTF-16 and code points sort otherwise. */
const KEYS = ["k0", "k1", "k2", "10", "9", "", "__proto__", "\uffff", "😀"] as const;

const NAMES = ["bold", "link", "odd"] as const;
const TEXTS = ["", "a", "bb", "😀", "x😀y"] as const;

function made(next: Random): NewValue {
  const kinds: NewValue[] = [next(9), "s", null, { text: TEXTS[next(5)] as string }, { counter: next(5) }, { list: [1, { text: "n" }] }, { map: [["body", { text: "m" }], ["k", 1]] }];
  return kinds[next(kinds.length)] as NewValue;
}

/** An edit that has its place in a value; `marks`: it may be a mark. */
function edit(shown: Shown, next: Random, marks = false): Edit {
  const all = places(shown);
  for (;;) {
    const [path, value, kind] = all[next(all.length)] as (typeof all)[0];
    if (isText(kind)) {
      const characters = Array.from(value as string);
      const from = next(characters.length + 1);
      const to = from + next(Math.min(3, characters.length - from + 1));
      const [start, end] = [from, to].map((at) => characters.slice(0, at).join("").length) as [number, number];
      if (marks && start < end && next(2) === 0) return ["mark", path, start, end, NAMES[next(3)] as string, next(3) || null];
      return ["text", path, start, end - start, TEXTS[next(5)] as string];
    }
    const [parent, key] = [path.slice(0, -1), path.at(-1) as string | number];
    if (kind === "counter" && next(2) === 0) return ["increment", parent, key, 1 + next(3)];
    if (Array.isArray(value) && next(3) > 0) {
      const index = next(value.length + 1);
      return ["splice", path, index, next(Math.min(3, value.length - index + 1)), Array.from({ length: next(3) }, () => made(next))];
    }
    if (path.length > 0 && typeof key === "string" && path.length > 1 && next(4) === 0) return ["delete", parent, key];
    if (path.length > 0 && next(3) === 0) return ["put", parent, key, made(next)];
    if (typeof value === "object" && value !== null && !Array.isArray(value) && next(2) === 0) return ["put", path, KEYS[next(KEYS.length)] as string, made(next)];
  }
}

function edits(shown: Shown, count: number, next: Random): [Edit[], Shown] {
  const list: Edit[] = [];
  for (; count > 0; count -= 1) {
    const one = edit(shown, next);
    list.push(one);
    shown = edited(shown, [one]);
  }
  return [list, shown];
}

function plain({ value, kinds }: Shown): NewValue {
  return crossing(value, undefined, kinds);
}

test("edits made beside each other come to the same in either order", () => {
  for (let seed = 1; seed <= 20_000; seed += 1) {
    const next = random(seed);
    const start = shownOf(START);
    const [own, mine] = edits(start, 1 + next(4), next);
    const [come, theirs] = edits(start, 1 + next(4), next);
    const [ownAfter, comeAfter] = rebase(own, come);
    const both = plain(edited(theirs, ownAfter));
    assert.deepEqual(plain(edited(mine, comeAfter)), both, `seed ${seed}: ${JSON.stringify([own, come, ownAfter, comeAfter])}`);
  }
});

test("nothing that is typed is lost or doubled, and it stays in its order", () => {
  for (let seed = 1; seed <= 2_000; seed += 1) {
    const next = random(seed);
    const typed = (letters: string) => Array.from(letters, (letter, at): Edit => ["text", ["body"], next(6) + 2 * at, 0, letter]);
    const [own, come] = [typed("ABCDEF"), typed("uvwxyz")];
    const start = edited(shownOf(START), [["text", ["body"], 0, 14, "0123456789abcdef"]]);
    const body = (shown: Shown) => (shown.value as { body: string }).body;
    const both = body(edited(edited(start, come), rebase(own, come)[0]));
    const only = (letters: RegExp, text: string) => text.replaceAll(letters, "");
    assert.equal(only(/[u-z]/g, both), body(edited(start, own)), `seed ${seed}`);
    assert.equal(only(/[A-F]/g, both), body(edited(start, come)), `seed ${seed}`);
  }
});

test("a mark stays on the characters that it was made on, whatever was written beside", () => {
  for (let seed = 1; seed <= 2_000; seed += 1) {
    const next = random(seed);
    const start = edited(shownOf(START), [["text", ["body"], 0, 14, "0123456789abcdef"]]);
    const from = next(15);
    const to = from + 1 + next(15 - from);
    const come = Array.from({ length: 5 }, (): Edit => ["text", ["body"], next(4), next(4), "XYZ".slice(next(4))]);
    const [own] = rebase([["mark", ["body"], from, to, "bold", true]], come);
    const shown = edited(edited(start, come), own);
    const marks = marksOf(kindAt(shown, ["body"]));
    const marked = marks.map(({ from, to }) => (shown.value as { body: string }).body.slice(from, to)).join("");
    const left = (text: string) => Array.from(text).filter((letter) => (shown.value as { body: string }).body.includes(letter)).join("");
    assert.equal(marked.replaceAll(/[XYZ]/g, ""), left("0123456789abcdef".slice(from, to)), `seed ${seed}`);
    assert.ok(marks.length <= 1, `seed ${seed}`);
  }
});

/** A worker's engine, as far as a document needs it: a value, and edits that come to it from elsewhere. */
class Model {
  shown = shownOf(START);
  change = 0;
  refuse = false;
  state = "synced";
  cursor: number | undefined;

  driver: Any = {
    ended: false,
    closed: false,
    now: () => 0,
    until: async (reached: () => unknown) => reached(),
    status: () => ({ state: this.state, pending: 0, rejected: 0, unsaved: 0, syncedAt: undefined, loading: false, progress: undefined }),
    peek: (call: (engine: Any) => unknown) => call(this.engine),
    turn: (call: (engine: Any, now: number) => unknown) => call(this.engine, 0),
  };

  engine: Any = {
    open: () => 1,
    init: () => undefined,
    applyWaiting: () => undefined,
    outbox: () => [],
    holds: () => ({ cursor: this.cursor, clock: [] }),
    cursor: () => "cursor",
    cursors: () => [],
    value: (_: number, special: Special) => toldBeside(this.shown, special),
    marks: (_: number, path: Path) => marksOf(kindAt(this.shown, path)),
    change: (_: number, __: number, ___: number, edits: Edit[]) => {
      if (this.refuse) throw new Error("refused");
      const writer = new Writer(this.shown);
      for (const edit of edits) assert.ok(writer.fromEngine(edit), "an edit that the engine has no place for");
      this.shown = writer.done();
      for (const [kind, path] of edits) if (kind === "text") this.#otherwise(path);
      return (this.change += 1);
    },
  };

  /** What is written makes of some marks what no page can know. */
  #otherwise(path: Path): void {
    const at = marksOf(kindAt(this.shown, path)).find(({ name }) => name === "odd")?.from;
    if (at !== undefined) this.shown = edited(this.shown, [["mark", path, at, at + 1, "odd", "otherwise"]]);
  }
}

/** A page and a worker with a wire between them that delivers when it is told to. */
async function wired(view: Kept | undefined, model = new Model()): Promise<{ model: Model; hosted: Hosted; page: SyncDocument<Any>; toPage: Any[]; toWorker: Any[]; deliver: (all?: boolean, next?: Random) => void }> {
  const [toPage, toWorker]: [Any[], Any[]] = [[], []];
  let open!: (driver: Any) => void;
  const driver = new Promise<Any>((resolve) => (open = resolve));
  const hosted = new Hosted(1, "x", [], view, { driver, shelf: new Shelf(Promise.resolve(new MemoryStore()), undefined, "test"), changed: () => undefined, keep: async () => undefined, post: (answer) => void toPage.push(structuredClone(answer)), opened: () => hosted.handle({ kind: "ready", document: 1 }) });
  const channel: Any = { send: (request: unknown) => void toWorker.push(structuredClone(request)), call: async () => undefined };
  if (!view) {
    open(model.driver);
    await hosted.loaded;
  }
  toPage.length = 0;
  const { opening, value } = structuredClone(hosted.opening([]));
  const page = new SyncDocument<Any>(channel, "x", shownOf(value), opening, { edited: () => undefined, close: () => true });
  if (view) open(model.driver);
  await hosted.loaded;
  const deliver = (all = true, next: Random = () => 0) => {
    while ((toPage.length > 0 || toWorker.length > 0) && (all || next(3) > 0)) {
      const down = toPage.length > 0 && (toWorker.length === 0 || next(2) === 0);
      if (down) page.handle(toPage.shift());
      else {
        const request = toWorker.shift();
        if (request.kind === "edit") hosted.edit(request);
        else if (request.kind === "seen") hosted.seen(request.base);
      }
    }
  };
  return { model, hosted, page, toPage, toWorker, deliver };
}

test("what is typed without a pause is as many changes as it takes, each no more than one may be", async () => {
  const { model, page, toWorker, deliver } = await wired(undefined);
  const write = (length: number) => page.change((draft: Any) => draft.body.insert(0, "x".repeat(length)));
  for (const length of [150_000, 50_000, 1, 199_999, 1]) write(length);
  page.commit();
  const sizes = toWorker.map(({ edits }) => edits.reduce((sum: number, edit: Any) => sum + edit[4].length, 0));
  assert.deepEqual(sizes, [200_000, 200_000, 1]);
  deliver();
  assert.equal((model.shown.value as Any).body.length, 400_001 + "hello 😀 world".length);
});

/** Edits a page through its draft, as a program would. */
function change(page: SyncDocument<Any>, [kind, path, ...rest]: Edit): void {
  page.change((draft: Any) => {
    const at = (steps: Path) => steps.reduce((value: Any, step) => value[step], draft);
    const [first, second, third] = rest as Any[];
    const value = (from: NewValue): Any => {
      if (typeof from !== "object" || from === null || from instanceof Date || from instanceof Uint8Array) return from;
      if ("text" in from) return from.text;
      if ("counter" in from) return from.counter;
      return "list" in from ? from.list.map(value) : Object.fromEntries(from.map.map(([key, item]) => [key, value(item)]));
    };
    if (kind === "text") at(path).splice(first, second, third);
    else if (kind === "mark" && rest[3] === null) at(path).unmark(first, second, third);
    else if (kind === "mark") at(path).mark(first, second, third, rest[3]);
    else if (kind === "splice") at(path).splice(first, second, ...third.map(value));
    else if (kind === "increment") at(path)[first].increment(second);
    else if (kind === "delete") delete at(path)[first];
    else if (typeof at(path)[first] !== "object") at(path)[first] = value(second);
  });
}

test("page and worker show the same once nothing is on its way, whatever was edited on both sides and when it arrived", async (t) => {
  const reported = reports(t);
  for (let seed = 1; seed <= 300; seed += 1) {
    const next = random(seed);
    const { model, hosted, page, deliver } = await wired(next(4) === 0 ? { map: [["body", { text: "old 😀" }], ["gone", 1]] } : undefined);
    for (let step = 0; step < 40; step += 1) {
      const dice = next(5);
      if (dice < 2) change(page, edit({ value: page.value, kinds: kindsOf(page) }, next, true));
      else if (dice === 2) page.commit();
      else if (dice === 3) {
        model.shown = edited(model.shown, [edit(model.shown, next, true)]);
        hosted.handle({ kind: "changed", document: 1, local: false });
      } else deliver(false, next);
    }
    page.commit();
    deliver();
    await new Promise((resolve) => setImmediate(resolve));
    deliver();
    // As text, which tells the order of keys too.
    assert.equal(JSON.stringify(page.value), JSON.stringify(model.shown.value), `seed ${seed}`);
    for (const [path] of places(model.shown)) assert.deepEqual(remarks(page.marks(path), marksOf(kindAt(model.shown, path))), [], `seed ${seed}, ${path.join("/")}`);
    assert.equal(page.status.unsaved, 0, `seed ${seed}`);
    assert.ok(Object.isFrozen(page.value));
  }
  assert.ok(reported.length > 0, "some are told that what they edited is gone");
  assert.ok(reported.every(({ code }) => code === "place-gone"));
});

test("of what is typed in what is deleted elsewhere the page hears that it is lost, and of nothing else", async (t) => {
  const reported = reports(t);
  const { model, hosted, page, deliver } = await wired(undefined);
  const elsewhere = (edit: Edit) => {
    model.shown = edited(model.shown, [edit]);
    hosted.handle({ kind: "changed", document: 1, local: false });
  };
  const outcome = (id: ReturnType<typeof page.change>) => page.saved(id).then(() => "saved", ({ code }: Any) => code as string);
  const within = (text: string) => page.change((d: Any) => void d.notes[0].body.insert(0, text));
  // One that was posted, and one that the page rebases while it still grows.
  const posted = within("posted");
  page.commit();
  const growing = within("growing");
  elsewhere(["splice", ["notes"], 0, 1, []]);
  deliver();
  const beside = page.change((d: Any) => void d.body.insert(0, "beside "));
  const half = page.change((d: Any) => {
    d.title = "half";
    d.notes[1][1].insert(0, "!");
  });
  elsewhere(["splice", ["notes"], 1, 1, []]);
  const waits = [posted, growing, beside, half].map(outcome);
  deliver();
  // What is removed twice is gone, as both wanted.
  const twice = page.change((d: Any) => void delete d.title);
  elsewhere(["delete", [], "title"]);
  waits.push(outcome(twice));
  deliver();
  hosted.handle({ kind: "saved", document: 1, change: model.change });
  await new Promise((resolve) => setImmediate(resolve));
  deliver();
  assert.deepEqual(await Promise.all(waits), ["place-gone", "place-gone", "saved", "place-gone", "saved"]);
  assert.deepEqual(reported.map(({ code }) => code), ["place-gone", "place-gone", "place-gone"]);
  assert.deepEqual([(page.value as Any).body, (page.value as Any).title, page.status.unsaved], ["beside hello 😀 world", undefined, 0]);
});

/** The errors that the page tells of, from now on to the test's end. */
function reports(t: { after(end: () => void): void }): RejoinError[] {
  const reported: RejoinError[] = [];
  (globalThis as Any).reportError = (error: RejoinError) => void reported.push(error);
  t.after(() => delete (globalThis as Any).reportError);
  return reported;
}

/** The kinds of what a page shows, found by what its drafts make of it. */
function kindsOf(page: SyncDocument<Any>): Shown["kinds"] {
  const { kinds } = nothing();
  page.change((draft: Any) => {
    const visit = (value: Any, shown: Any): void => {
      if (typeof shown !== "object" || shown === null) return;
      const keys = Array.isArray(shown) ? [...shown.keys()] : Object.keys(shown);
      for (const key of keys) {
        const { name } = (value[key] as Any)?.constructor ?? {};
        if (name === "Text") kinds.set(shown, (kinds.get(shown) ?? new Map()).set(key, "text"));
        if (name === "Counter") kinds.set(shown, (kinds.get(shown) ?? new Map()).set(key, "counter"));
        visit(value[key], shown[key]);
      }
    };
    visit(draft, page.value);
  });
  return kinds;
}

test("what the engine refuses is taken back in the page, with what stands on it, and the page hears of it", async (t) => {
  const reported = reports(t);
  const { model, page, deliver } = await wired(undefined);
  model.refuse = true;
  const first = page.change((d: Any) => void (d.title = "first"));
  const second = page.change((d: Any) => void (d.title = "second"));
  const waits = [page.saved(first), page.saved(second)];
  deliver();
  model.refuse = false;
  page.change((d: Any) => void (d.title = "third"));
  deliver();
  for (const { status } of await Promise.allSettled(waits)) assert.equal(status, "rejected");
  assert.equal((page.value as Any).title, "third");
  assert.equal((model.shown.value as Any).title, "third");
  assert.equal(reported.length, 2);
});
