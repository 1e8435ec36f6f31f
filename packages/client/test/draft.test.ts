/** Drafts: natural JavaScript in, edits out. What the edits make of a document is tested in the browser, by `values.test.ts`. */

import assert from "node:assert/strict";

import type { Kinds } from "#modules/diff.js";
import { record } from "#modules/draft.js";
import { Counter, Text } from "#modules/values.js";

import { test } from "./timed.js";

type Any = any; // eslint-disable-line @typescript-eslint/no-explicit-any

const VALUE = {
  items: [{ name: "milk", tags: ["a"] }, { name: "bread", tags: [] }],
  body: "héllo 😀 world",
  left: 3,
  title: "list",
  at: new Date(5),
};
const KINDS: Kinds = new WeakMap([[VALUE as object, new Map([["body", "text"], ["left", "counter"]] as const)]]);

function edits(write: (draft: Any) => unknown): unknown[] {
  return record<Any>(VALUE, KINDS, write);
}

function refused(write: (draft: Any) => unknown, code: string, about: RegExp): void {
  assert.throws(() => edits(write), (error: Any) => error.code === code && about.test(error.message));
}

test("assignments, deletions and array methods are edits at paths", () => {
  assert.deepEqual(edits((d) => (d.title = "x")), [["put", [], "title", "x"]]);
  assert.deepEqual(edits((d) => delete d.title), [["delete", [], "title"]]);
  assert.deepEqual(edits((d) => delete d.nothing), []);
  assert.deepEqual(edits((d) => (d.items[1].name = "rye")), [["put", ["items", 1], "name", "rye"]]);
  assert.deepEqual(edits((d) => d.items.push({ name: "tea" })), [["splice", ["items"], 2, 0, [{ map: [["name", "tea"]] }]]]);
  assert.deepEqual(edits((d) => d.items.splice(0, 1)), [["splice", ["items"], 0, 1, []]]);
  assert.deepEqual(edits((d) => d.items.splice(-1)), [["splice", ["items"], 1, 1, []]]);
  assert.deepEqual(edits((d) => d.items.shift()), [["splice", ["items"], 0, 1, []]]);
  assert.deepEqual(edits((d) => (d.items[0].tags[0] = "b")), [["put", ["items", 0, "tags"], 0, "b"]]);
  assert.deepEqual(edits((d) => (d.items.length = 0)), [["splice", ["items"], 0, 2, []]]);
});

test("an object that moved in its list is edited where it stands now", () => {
  const moved = edits((d) => {
    const bread = d.items.find((item: Any) => item.name === "bread");
    d.items.unshift("first");
    bread.name = "rye";
    bread.tags.push("new");
  });
  assert.deepEqual(moved.slice(1), [
    ["put", ["items", 2], "name", "rye"],
    ["splice", ["items", 2, "tags"], 0, 0, ["new"]],
  ]);
});

test("an object that was removed or replaced can't be edited any more", () => {
  const about = /no part of the document/;
  refused((d) => { const milk = d.items[0]; d.items.shift(); milk.name = "x"; }, "bad-value", about);
  refused((d) => { const { items } = d; d.items = []; items.push(1); }, "bad-value", about);
  refused((d) => { const { body } = d; delete d.body; body.insert(0, "x"); }, "bad-value", about);
  refused((d) => { const made = (d.made = {}, d.made); d.made = {}; made.x = 1; }, "bad-value", about);
});

test("texts count in units, as strings do, and never cut a character", () => {
  assert.deepEqual(edits((d) => d.body.insert(8, "!")), [["text", ["body"], 8, 0, "!"]]);
  assert.deepEqual(edits((d) => d.body.delete(6, 2)), [["text", ["body"], 6, 2, ""]]);
  // Between the halves of the emoji.
  assert.deepEqual(edits((d) => d.body.insert(7, "x")), [["text", ["body"], 6, 0, "x"]]);
  assert.deepEqual(edits((d) => d.body.delete(7, 1)), [["text", ["body"], 6, 2, ""]]);
  assert.deepEqual(edits((d) => d.body.update("héllo 😁 world")), [["text", ["body"], 6, 2, "😁"]]);
  assert.deepEqual(edits((d) => d.body.update("héllo 😀 big world")), [["text", ["body"], 9, 0, "big "]]);
  assert.deepEqual(edits((d) => d.body.update("héllo 😀 world")), []);
  refused((d) => d.body.insert(99, "x"), "bad-value", /no characters/);
});

test("marks are of whole characters, move with what is written, and a new text keeps its own", () => {
  assert.deepEqual(edits((d) => d.body.mark(0, 5, "bold", true)), [["mark", ["body"], 0, 5, "bold", true, undefined]]);
  assert.deepEqual(edits((d) => d.body.mark(7, 8, "link", "x:\ud800", { expand: "both" })), [["mark", ["body"], 6, 8, "link", "x:\ufffd", "both"]]);
  assert.deepEqual(edits((d) => d.body.unmark(2, 7, "bold")), [["mark", ["body"], 2, 8, "bold", null, undefined]]);
  assert.deepEqual(edits((d) => d.body.mark(3, 3, "bold", true)), []);
  const text = new Text("one two");
  text.mark(0, 3, "bold", 1);
  text.mark(4, 7, "link", "x:");
  text.mark(1, 2, "bold", 2);
  text.insert(7, "!");
  text.insert(3, "_");
  const marks = [{ from: 0, to: 1, name: "bold", value: 1 }, { from: 1, to: 2, name: "bold", value: 2 }, { from: 2, to: 4, name: "bold", value: 1 }, { from: 5, to: 8, name: "link", value: "x:" }];
  assert.deepEqual(text.marks, marks);
  assert.deepEqual(edits((d) => (d.t = text)), [["put", [], "t", { text: "one_ two!", marks }]]);
  text.unmark(0, 9, "bold");
  text.delete(4, 4);
  assert.deepEqual(text.marks, []);
  refused((d) => d.body.mark(0, 99, "bold", true), "bad-value", /no characters 0 to 99/);
  refused((d) => d.body.mark(3, 2, "bold", true), "bad-value", /no characters/);
  refused((d) => d.body.mark(0, 1, "", true), "bad-value", /has a name/);
  refused((d) => d.body.mark(0, 1, "link", { href: "x" }), "bad-value", /without parts/);
  refused((d) => d.body.mark(0, 1, "link", null), "bad-value", /without parts/);
});

test("counters, dates and bytes", () => {
  assert.deepEqual(edits((d) => d.left.increment()), [["increment", [], "left", 1]]);
  assert.deepEqual(edits((d) => d.left.decrement(2)), [["increment", [], "left", -2]]);
  assert.deepEqual(edits((d) => (d.n = new Counter(4))), [["put", [], "n", { counter: 4 }]]);
  assert.deepEqual(edits((d) => (d.t = new Text("a"))), [["put", [], "t", { text: "a" }]]);
  assert.deepEqual(edits((d) => (d.at = new Date(7))), [["put", [], "at", new Date(7)]]);
  assert.deepEqual(edits((d) => (d.raw = new Uint8Array([1]))), [["put", [], "raw", new Uint8Array([1])]]);
  refused((d) => d.left.increment(0.5), "bad-value", /whole numbers/);
});

test("what has no place in a document is refused with its place", () => {
  refused((d) => (d.a = { b: [undefined] }), "bad-value", /^a\.b\[0\]: undefined/);
  refused((d) => (d.a = () => 1), "bad-value", /function/);
  refused((d) => (d.a = new Map()), "bad-value", /plain objects/);
  refused((d) => (d.at = new Date(Number.NaN)), "bad-value", /valid date/);
  refused((d) => { const circle: Any = {}; circle.self = circle; d.a = circle; }, "bad-value", /within itself/);
  refused((d) => (d.body = "a string"), "bad-value", /is a text/);
  refused((d) => (d.left = 5), "bad-value", /is a counter/);
  refused((d) => d.items.sort(), "bad-value", /splice/);
  refused((d) => delete d.items[0], "bad-value", /no holes/);
  refused((d) => (d.items[7] = 1), "bad-value", /no element 7/);
  refused(async (d) => (d.title = "late"), "bad-value", /async/);
});

test("a draft ends with its change", () => {
  let kept: Any;
  edits((d) => (kept = d.items));
  assert.throws(() => kept.push(1), (error: Any) => error.code === "draft-ended");
  assert.throws(() => kept[0], (error: Any) => error.code === "draft-ended");
});

test("a draft reads like what it stands for", () => {
  edits((d) => {
    d.items.push({ name: "tea", tags: [] });
    delete d.at;
    assert.deepEqual(Object.keys(d), ["items", "body", "left", "title"]);
    assert.deepEqual(JSON.parse(JSON.stringify(d)), {
      items: [{ name: "milk", tags: ["a"] }, { name: "bread", tags: [] }, { name: "tea", tags: [] }],
      body: VALUE.body,
      left: 3,
      title: "list",
    });
    assert.ok(Array.isArray(d.items) && "name" in d.items[0] && !("at" in d));
    assert.equal(d.items.indexOf(d.items[1]), 1);
    assert.deepEqual([...d.items].map((item: Any) => item.name), ["milk", "bread", "tea"]);
    assert.deepEqual(d.items.pop(), { name: "tea", tags: [] });
  });
});
