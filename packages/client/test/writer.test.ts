/** Writing on a mirror: many edits at once cost as much as one, and leave what one after the other would. Chance tries many. */

import assert from "node:assert/strict";

import type { Shown } from "#modules/diff.js";
import { crossing, edited, lookUp, shownOf, Writer } from "#modules/mirror.js";
import type { NewValue, Path } from "#modules/wasm/rejoin.js";

import { random } from "./support/random.js";
import { test } from "./timed.js";

type Any = any; // eslint-disable-line @typescript-eslint/no-explicit-any

/** What JavaScript sorts by itself, what it takes for something else, and what UTF-16 and code points sort otherwise. */
const KEYS = ["10", "9", "", "__proto__", "\uffff", "😀"] as const;
const TEXTS = ["", "a", "bb", "😀", "x😀y"] as const;

function plain({ value, kinds }: Shown): NewValue {
  return crossing(value, undefined, kinds);
}

/** Where maps are in a value. */
function maps(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [];
  const inner = Object.entries(value).flatMap(([key, item]) => maps(item, [...path, Array.isArray(value) ? Number(key) : key]));
  return Array.isArray(value) ? inner : [path, ...inner];
}

/** How many keys were listed meanwhile: what was done with maps as a whole. */
function listed(run: () => void): number {
  const { keys } = Object;
  let count = 0;
  Object.keys = (of: object) => {
    const found = keys(of);
    count += found.length;
    return found;
  };
  try {
    run();
  } finally {
    Object.keys = keys;
  }
  return count;
}

test("keys that come together are sorted once, among however many there are", () => {
  const next = random(7);
  const shuffled = (count: number, from: number) => Array.from({ length: count }, (_, n) => [next(9), n + from] as const).sort().map(([, n]) => (n % 7 === 0 ? String(n) : `${n % 2 ? "é" : "n"}${n}`));
  const [old, come] = [shuffled(20_000, 0), shuffled(1_000, 20_000)];
  const entry = (key: string): [string, NewValue] => [key, { map: [["body", { text: key }], ["left", { counter: 1 }]] }];
  const of = (keys: readonly string[]): NewValue => ({ map: [["map", { map: [...old.map(entry), ...keys.map(entry), ["__proto__", 1]] }], ["other", { text: "t" }]] });
  const start = shownOf(of([]));
  let after = start;
  const count = listed(() => (after = edited(start, come.map((key) => ["put", ["map"], ...entry(key)]))));
  assert.ok(count < 10 * (old.length + come.length), `${count} keys were listed`);
  assert.equal(JSON.stringify(plain(after)), JSON.stringify(plain(shownOf(of(come)))));
  assert.ok(Object.isFrozen((after.value as Any).map));
  assert.equal((after.value as Any).map[old[5] as string], (start.value as Any).map[old[5] as string], "what stays is shared");
});

test("maps of many keys have the same order whatever has come to them and gone, also in what has come itself", () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const next = random(seed);
    let shown = shownOf({ map: [["list", { list: [{ map: [] }] }]] });
    for (let batch = 0; batch < 4; batch += 1) {
      const writer = new Writer(shown);
      // Where one has moved meanwhile an edit has no place, or another one.
      const holders = maps(shown.value);
      for (let n = 0; n < 20; n += 1) {
        const path = holders[next(holders.length)] as Path;
        const key = next(4) === 0 ? (KEYS[next(KEYS.length)] as string) : `k${next(300)}`;
        if (next(5) === 0) writer.do(["splice", ["list"], 0, 0, [{ map: [["b", 1], ["a", { map: [["z", 1], ["y", { text: "y" }]] }]] }]]);
        else writer.do(next(3) === 0 ? ["delete", path, key] : ["put", path, key, next(3) === 0 ? { map: [["q", 1], ["p", { text: "p" }]] } : 1]);
      }
      shown = writer.done();
    }
    // What crosses is built anew, sorted.
    assert.equal(JSON.stringify(plain(shown)), JSON.stringify(plain(shownOf(plain(shown)))), `seed ${seed}`);
  }
});

test("a text that is written in at many places, in any order, is what it is by one splice after the other", () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const next = random(seed);
    const writer = new Writer(shownOf({ map: [["other", { text: "o" }], ["body", { text: "0123456789".repeat(next(20)) }]] }));
    const body = () => lookUp(writer.done().value, ["body"]) as string;
    let text = body();
    const forth = next(3) - 1;
    for (let n = 0, at = 0; n < 60; n += 1) {
      at = forth === 0 || next(9) === 0 ? next(text.length + 1) : Math.min(Math.max(at + forth * next(12), 0), text.length);
      const [gone, insert] = [next(Math.min(5, text.length - at + 1)), TEXTS[next(5)] as string];
      assert.ok(writer.do(["text", ["body"], at, gone, insert]));
      text = text.slice(0, at) + insert + text.slice(at + gone);
      assert.ok(!writer.do(["text", ["body"], text.length, 1, "x"]), "no such place");
      if (next(20) === 0) assert.equal(body(), text, `seed ${seed}`);
      if (next(20) === 0) writer.do(["text", ["other"], 0, 1, "p"]);
    }
    assert.equal(body(), text, `seed ${seed}`);
  }
});
