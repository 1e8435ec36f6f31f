/** What edits make of a document in the real engine: the same as plain JavaScript makes of a plain object. */

import assert from "node:assert/strict";
import { after, before } from "node:test";

import type { Page } from "playwright-core";

import { Chromium, open } from "./support/browser.js";
import { Site } from "./support/site.js";
import { test } from "./timed.js";

let site: Site;
let chromium: Chromium;
let page: Page;

before(async () => {
  site = await Site.start();
  chromium = await Chromium.start();
  page = await open(await chromium.context(), site.origin);
});

after(async () => {
  await chromium?.remove();
  await site?.stop();
});

type Any = any; // eslint-disable-line @typescript-eslint/no-explicit-any

test("changes do what the same statements do to a plain object", async () => {
  const steps = await page.evaluate(async () => {
    const { connect } = globalThis.rejoin;
    const client = await connect("ws://127.0.0.1:9/sync", { store: "values", offline: true });
    const doc = await client.open<Any>("values");
    const plain: Any = {};
    const steps: ((d: Any) => void)[] = [
      (d) => void (d.list = [1, "two", null, true, 4.5, { deep: [{ deeper: {} }] }]),
      (d) => void (d.map = { "": 0, a: 1, constructor: "x", "ключ": "я", __proto: 1 }),
      (d) => void d.list.push({ n: 1 }, [2], "three"),
      (d) => void d.list.splice(1, 3, "x", ["y"], { z: 0 }, "w"),
      (d) => void (d.list[0] = { replaced: true }),
      (d) => void (d.list[0].more = [1, 2, 3]),
      (d) => void d.list[0].more.shift(),
      (d) => void d.list.unshift(d.list.pop(), d.map.a),
      (d) => void (delete d.map.a, (d.map.b = d.map[""]), (d.map.c = { ...d.map })),
      (d) => void (d.list.length = 3),
      (d) => { for (const item of d.list) if (item?.replaced) item.replaced = d.list.length; },
      (d) => void (d.copy = d.list.map((item: Any) => item)),
      (d) => void (d.copy[2] = d.copy[2]),
      (d) => { const { list } = d; d.list = list; d.list.push("still there"); },
      (d) => void (d.big = 2 ** 53 - 1, d.small = -(2 ** 53 - 1), d.half = 0.5, d.huge = 1e300, d.inf = Infinity),
      (d) => void (d.emoji = "a😀b", d.long = "x".repeat(10_000)),
      (d) => void d.list.splice(0, d.list.length),
    ];
    const sorted = (value: Any): Any =>
      Array.isArray(value)
        ? value.map(sorted)
        : value !== null && typeof value === "object"
          ? Object.fromEntries(Object.keys(value).toSorted().map((key) => [key, sorted(value[key])]))
          : value;
    const seen = steps.map((step) => {
      doc.change(step);
      step(plain);
      // A plain list keeps one object in two places; a document has copies.
      const expected = structuredClone(sorted(plain));
      for (const key of Object.keys(plain)) plain[key] = structuredClone(plain[key]);
      return { got: JSON.stringify(doc.value), expected: JSON.stringify(expected), step: step.toString() };
    });
    await client.close();
    return seen;
  });
  assert.ok(steps.length >= 15);
  for (const { got, expected, step } of steps) assert.equal(got, expected, step);
});

test("each kind of value comes back as itself, also from the device", async () => {
  const seen = await page.evaluate(async () => {
    const { connect, Counter, Text } = globalThis.rejoin;
    let client = await connect("ws://127.0.0.1:9/sync", { store: "kinds", offline: true });
    let doc = await client.open<Any>("kinds");
    doc.change((d) => {
      d.date = new Date(86_400_000);
      d.bytes = new Uint8Array([0, 255, 7]);
      d.big = 2n ** 62n;
      d.text = new Text("a😀");
      d.counter = new Counter(5);
      d.texts = [new Text("x"), "plain", new Counter(1)];
    });
    doc.change((d) => {
      d.text.insert(3, "!");
      d.counter.increment(2);
      d.texts[0].update("xyz");
      d.texts[2].decrement(3);
    });
    doc.change((d) => void (d.odd = JSON.parse('{"__proto__": {"polluted": true}}')));
    await client.close();
    client = await connect("ws://127.0.0.1:9/sync", { store: "kinds", offline: true });
    doc = await client.open<Any>("kinds");
    const { date, bytes, big, text, counter, texts, odd } = doc.value;
    const shown = {
      date: date instanceof Date && date.getTime(),
      bytes: bytes instanceof Uint8Array && [...bytes],
      big: big === 2n ** 62n,
      text,
      counter,
      texts,
      odd: [Object.keys(odd), odd.polluted === undefined],
      frozen: Object.isFrozen(doc.value) && Object.isFrozen(doc.value.texts),
    };
    await client.close();
    return shown;
  });
  assert.deepEqual(seen, {
    date: 86_400_000,
    bytes: [0, 255, 7],
    big: true,
    text: "a😀!",
    counter: 7,
    texts: ["xyz", "plain", -2],
    odd: [["__proto__"], true],
    frozen: true,
  });
});

/** Neither can be frozen, and the page showed what nobody had written. */
test("dates and bytes are the document's own, whatever becomes of those that were given or read", async () => {
  const seen = await page.evaluate(async () => {
    const { connect } = globalThis.rejoin;
    const client = await connect("ws://127.0.0.1:9/sync", { store: "own", offline: true });
    const doc = await client.open<Any>("own");
    const [date, whole] = [new Date(1), new Uint8Array(100)];
    await doc.saved(doc.change((d) => Object.assign(d, { date, bytes: whole.subarray(0, 2), list: [date] })));
    date.setTime(2);
    whole.fill(7);
    const edit = doc.change((d) => {
      d.date.setTime(3);
      d.bytes[0] = 8;
      d.list[0].setTime(4);
      d.list.push(new Date(5));
      d.list[1].setTime(6);
    });
    await doc.saved(edit);
    const { date: shown, bytes, list } = doc.value;
    const told = [shown.getTime(), [...bytes], bytes.buffer.byteLength, list.map(Number)];
    await client.close();
    return told;
  });
  assert.deepEqual(seen, [1, [0, 0], 2, [1, 5]]);
});

test("a change that fails leaves nothing", async () => {
  const seen = await page.evaluate(async () => {
    const client = await globalThis.rejoin.connect("ws://127.0.0.1:9/sync", { store: "fails", offline: true });
    const doc = await client.open<Any>("fails");
    doc.change((d) => void (d.a = 1));
    const before = doc.value;
    const code = (write: (d: Any) => void) => {
      try {
        doc.change(write);
        return "none";
      } catch (error) {
        return (error as { code?: string }).code ?? String(error);
      }
    };
    const codes = [
      code((d) => { d.a = 2; throw new Error("changed my mind"); }),
      code((d) => { d.a = 2; d.b = undefined; }),
      // Beyond the longest key that every replica takes.
      code((d) => { d.a = 2; d["k".repeat(2_000)] = 1; }),
    ];
    const name = await client.open("").then(() => "none", (error: { code?: string }) => error.code);
    const same = JSON.stringify([before, doc.value, doc.status.pending]);
    await client.close();
    return { codes, name, same };
  });
  assert.deepEqual(seen, {
    codes: ["Error: changed my mind", "bad-value", "refused"],
    name: "bad-name",
    same: '[{"a":1},{"a":1},1]',
  });
});

/** As under React's Strict Mode, which opens, closes and opens again. */
test("a document that was opened twice is closed by the second close", async () => {
  const seen = await page.evaluate(async () => {
    const client = await globalThis.rejoin.connect("ws://127.0.0.1:9/sync", { store: "twice", offline: true });
    const opening = [client.open<Any>("twice"), client.open<Any>("twice")] as const;
    void opening[0].then((doc) => doc.close());
    const [one, two] = await Promise.all(opening);
    const saved = await two.saved(two.change((d) => void (d.a = 1))).then(() => "saved");
    two.close();
    let code: unknown = "open";
    try {
      one.change((d) => void (d.a = 2));
    } catch (error) {
      code = (error as { code?: string }).code;
    }
    const again = await client.open<Any>("twice");
    const told = [one === two, saved, code, again === one, again.value.a];
    await client.close();
    return told;
  });
  assert.deepEqual(seen, [true, "saved", "closed", false, 1]);
});

test("subscribers are told at once, and once for what happens together", async () => {
  const seen = await page.evaluate(async () => {
    const client = await globalThis.rejoin.connect("ws://127.0.0.1:9/sync", { store: "listen", offline: true });
    const doc = await client.open<Any>("listen");
    const told: string[] = [];
    const stop = doc.subscribe(({ value }) => told.push(JSON.stringify(value)));
    doc.change((d) => void (d.a = 1));
    doc.change((d) => void (d.b = 2));
    const { saved } = doc;
    await saved.call(doc, doc.change((d) => void (d.c = 3)));
    stop();
    doc.change((d) => void (d.d = 4));
    await client.close();
    return [...new Set(told)];
  });
  assert.deepEqual(seen, ["{}", '{"a":1,"b":2,"c":3}']);
});
