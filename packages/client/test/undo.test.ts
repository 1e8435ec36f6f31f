/** Undo and redo of one's own changes while others edit, cursors, history, and patches, in pages with the real server between them. */

import assert from "node:assert/strict";

import type { Page } from "playwright-core";

import { joinDocument, open, synced } from "./support/browser.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

/** Ann's and Bob's pages on one document. */
async function two(name: string): Promise<[Page, Page]> {
  const pages: Page[] = [];
  for (let n = 0; n < 2; n += 1) {
    const page = await open(await stage.chromium.context(), stage.site.origin);
    await joinDocument(page, stage.server.url, { name });
    await synced(page);
    pages.push(page);
  }
  return pages as [Page, Page];
}

/** Waits until the body of the document is `body` on all pages. */
async function body(pages: Page[], body: string): Promise<void> {
  for (const page of pages) {
    await page.waitForFunction((body) => globalThis.doc.value.body === body, body).catch(async () => {
      assert.equal(await page.evaluate(() => globalThis.doc.value.body), body);
    });
  }
}

async function type(page: Page, index: number, deleted: number, text: string): Promise<void> {
  await page.evaluate(([index, deleted, text]) => void globalThis.doc.change((d) => d.body.splice(index, deleted, text)), [index, deleted, text] as const);
}

test("undo takes back one's own typing and leaves what others typed into it; redo brings it back", async () => {
  const [ann, bob] = await two("undo/typing");
  await type(ann, 0, 0, "Hello 😀 world");
  await body([bob], "Hello 😀 world");
  await type(bob, 9, 0, "big ");
  await body([ann], "Hello 😀 big world");
  assert.equal(await ann.evaluate(() => globalThis.doc.undo()), true);
  await body([ann, bob], "big ");
  assert.equal(await ann.evaluate(() => globalThis.doc.undo()), false, "nothing is left to undo");
  assert.equal(await ann.evaluate(() => globalThis.doc.redo()), true);
  await ann.waitForFunction(() => !globalThis.doc.canRedo && globalThis.doc.canUndo);
  const text = await ann.evaluate(() => globalThis.doc.value.body);
  assert.equal([...text].toSorted().join(""), [..."Hello 😀 big world"].toSorted().join(""));
  await body([bob], text);
  assert.equal(await bob.evaluate(() => globalThis.doc.undo()), true, "Bob's own typing is still his to undo");
  await body([ann, bob], text.replace("big ", ""));
});

test("a deletion is undone where it was, though the text has moved", async () => {
  const [ann, bob] = await two("undo/deletion");
  await type(bob, 0, 0, "one two three");
  await body([ann], "one two three");
  await type(ann, 4, 4, "");
  await body([bob], "one three");
  await type(bob, 0, 0, "zero ");
  await body([ann], "zero one three");
  await ann.evaluate(() => globalThis.doc.undo());
  await body([ann, bob], "zero one two three");
});

test("undo and redo of a change at both ends of a text leave alone what stands and is written between", async () => {
  const [ann, bob] = await two("undo/scattered");
  const [head, tail] = ["a".repeat(150), "b".repeat(150)];
  await type(bob, 0, 0, `${head} between ${tail}`);
  await body([ann], `${head} between ${tail}`);
  const middle = await bob.evaluate(() => globalThis.doc.cursor(["body"], 155));
  await ann.evaluate(() =>
    globalThis.doc.change(({ body }) => {
      body.splice(159, 150, "z".repeat(150));
      body.splice(0, 150, "y");
    }),
  );
  await body([bob], `y between ${"z".repeat(150)}`);
  await bob.evaluate(async () => {
    globalThis.client.goOffline();
    await globalThis.doc.saved(globalThis.doc.change((d) => d.body.splice(6, 0, "BOB")));
  });
  assert.equal(await ann.evaluate(() => globalThis.doc.undo()), true);
  await body([ann], `${head} between ${tail}`);
  await bob.evaluate(() => globalThis.client.goOnline());
  const place = () => Promise.all([ann, bob].map((page) => page.evaluate((middle) => globalThis.doc.position(middle), middle)));
  await body([ann, bob], `${head} betwBOBeen ${tail}`);
  assert.deepEqual(await place(), [158, 158], "the cursor stays with its character");
  assert.equal(await ann.evaluate(() => globalThis.doc.redo()), true);
  await body([ann, bob], `y betwBOBeen ${"z".repeat(150)}`);
  assert.deepEqual(await place(), [9, 9]);
});

test("typing without a pause is undone at once, and other changes one by one", async () => {
  const [ann] = await two("undo/bursts");
  const seen = await ann.evaluate(async () => {
    const { doc } = globalThis;
    for (const [index, letter] of [..."word"].entries()) doc.change((d) => d.body.splice(index, 0, letter));
    doc.change((d) => void d.left.increment(5));
    doc.change((d) => void d.notes.push({ title: "a", done: false }));
    doc.change((d) => void ((d.notes[0] as { done: boolean }).done = true));
    const states = [];
    do states.push([doc.value.body, doc.value.left, doc.value.notes.map(({ done }) => done)]);
    while (await doc.undo());
    while (await doc.redo());
    states.push([doc.value.body, doc.value.left, doc.value.notes.map(({ done }) => done)]);
    return states;
  });
  assert.deepEqual(seen, [
    ["word", 8, [true]],
    ["word", 8, [false]],
    ["word", 8, []],
    ["word", 3, []],
    ["", 3, []],
    // The note that redo brings back is another one: what was done to the first is not done to it.
    ["word", 8, [false]],
  ]);
});

test("undo follows a note to where it has moved, and leaves alone what another has written since", async () => {
  const [ann, bob] = await two("undo/moved");
  await ann.evaluate(async () => {
    const { doc } = globalThis;
    doc.change((d) => void d.notes.push({ title: "first", done: false }, { title: "second", done: false }));
    const edit = doc.change((d) => void ((d.notes[1] as { title: string }).title = "second, by Ann"));
    doc.change((d) => void ((d.notes[0] as { title: string }).title = "first, by Ann"));
    await doc.acknowledged(edit);
  });
  await bob.waitForFunction(() => globalThis.doc.value.notes[0]?.title === "first, by Ann");
  await bob.evaluate(() =>
    globalThis.doc.change((d) => {
      (d.notes[0] as { title: string }).title = "first, by Bob";
      d.notes.unshift({ title: "new", done: false });
    }),
  );
  await ann.waitForFunction(() => globalThis.doc.value.notes.length === 3);
  // Of what Ann did to the first note nothing is left: what she did before is undone.
  assert.equal(await ann.evaluate(() => globalThis.doc.undo()), true);
  for (const page of [ann, bob]) {
    await page.waitForFunction(() => globalThis.doc.value.notes[2]?.title === "second");
    assert.deepEqual(await page.evaluate(() => globalThis.doc.value.notes.map(({ title }) => title)), ["new", "first, by Bob", "second"]);
  }
});

test("a cursor stays with its character on both sides, and history shows each version", async () => {
  const [ann, bob] = await two("undo/history");
  await type(ann, 0, 0, "a😀bc");
  await body([bob], "a😀bc");
  const [middle, end] = await ann.evaluate(async () => [await globalThis.doc.cursor(["body"], 3), await globalThis.doc.cursor(["body"], 5)] as const);
  await type(bob, 0, 1, "😀😀😀");
  await body([ann], "😀😀😀😀bc");
  for (const page of [ann, bob]) {
    const places = await page.evaluate(async ([middle, end]) => [await globalThis.doc.position(middle), await globalThis.doc.position(end)], [middle, end] as const);
    assert.deepEqual(places, [8, 10]);
  }
  const history = await ann.evaluate(async () => {
    const { doc } = globalThis;
    const seen = [];
    for (const { change, actor, time, operations } of await doc.history) {
      seen.push({ body: (await doc.at(change)).body, actor, time: time.getTime(), operations });
    }
    const wrong = [doc.at("0".repeat(64)), doc.at("no hash"), doc.cursor(["body"], 99), doc.cursor(["nothing"], 0)];
    const codes = (await Promise.allSettled<unknown>(wrong)).map((end) => (end.status === "rejected" ? (end.reason as { code: string }).code : ""));
    return { seen: seen.slice(-2), codes, nowhere: await doc.position("nowhere" as never) };
  });
  assert.deepEqual(history.seen.map(({ body, operations }) => [body, operations]), [["a😀bc", 4], ["😀😀😀😀bc", 4]]);
  assert.notEqual(history.seen[0]?.actor, history.seen[1]?.actor);
  assert.ok(history.seen.every(({ time }) => Math.abs(time - Date.now()) < 3_600_000));
  assert.deepEqual(history.codes, ["bad-value", "bad-value", "bad-value", "bad-value"]);
  assert.equal(history.nowhere, undefined);
});

test("a version is compared with another and with now, and brought back while others go on", async () => {
  const [ann, bob] = await two("undo/versions");
  const then = await ann.evaluate(async () => {
    const { doc } = globalThis;
    await doc.acknowledged(
      doc.change((d) => {
        d.body.splice(0, 0, "one two");
        d.notes.push({ title: "kept", done: false });
      }),
    );
    const { change } = (await doc.history).at(-1) as { change: string };
    await doc.acknowledged(
      doc.change((d) => {
        d.body.splice(0, 4, "");
        d.left.increment(4);
        d.notes.splice(0, 1, { title: "another", done: true });
      }),
    );
    return change;
  });
  await body([bob], "two");
  const seen = await ann.evaluate(async (then) => {
    const { doc } = globalThis;
    const { change: last } = (await doc.history).at(-1) as { change: string };
    const [between, now, none] = [await doc.diff(then, last), await doc.diff(then), await doc.diff(last)];
    const wrong = await doc.restore("0".repeat(64)).catch((error: { code: string }) => error.code);
    return { between, now, none, wrong };
  }, then);
  assert.deepEqual([seen.now, seen.none, seen.wrong], [seen.between, [], "bad-value"]);
  assert.deepEqual(seen.now.map(({ kind, path }) => [kind, path.join("/")]), [
    ["text", "body"],
    ["put", "left"],
    ["put", "notes/0/done"],
    ["put", "notes/0/title"],
  ]);
  // Bob counts and writes elsewhere before he hears of it.
  await bob.evaluate(() => globalThis.client.goOffline());
  await bob.evaluate(() => {
    globalThis.doc.change((d) => void d.left.increment(1));
    globalThis.doc.change((d) => void d.body.splice(3, 0, "!"));
  });
  await ann.evaluate(async (then) => globalThis.doc.acknowledged(await globalThis.doc.restore(then)), then);
  assert.deepEqual(await ann.evaluate(() => globalThis.doc.value.notes), [{ title: "kept", done: false }]);
  await bob.evaluate(() => globalThis.client.goOnline());
  await body([ann, bob], "one two!");
  for (const page of [ann, bob]) assert.equal(await page.evaluate(() => globalThis.doc.value.left), 4);
  assert.equal(await ann.evaluate(() => globalThis.doc.undo()), true);
  await body([ann, bob], "two!");
});

test("a subscriber is told once of a batch, and what has changed in it", async () => {
  const [ann, bob] = await two("undo/patches");
  await bob.evaluate(() => {
    const told: unknown[][] = [];
    Object.assign(globalThis, { told });
    globalThis.doc.subscribe(({ patches }) => void (patches.length > 0 && told.push([...patches])));
  });
  await ann.evaluate(() =>
    globalThis.doc.change((d) => {
      d.body.insert(0, "x");
      d.left.increment();
      d.notes.push({ title: "n", done: false });
    }),
  );
  await bob.waitForFunction(() => (globalThis as unknown as { told: unknown[] }).told.length > 0);
  assert.deepEqual(await bob.evaluate(() => (globalThis as unknown as { told: unknown[][] }).told.map((patches) => patches.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)))), [
    [
      { kind: "put", path: ["left"], value: 4 },
      { kind: "splice", path: ["notes"], index: 0, deleted: 0, inserted: [{ title: "n", done: false }] },
      { kind: "text", path: ["body"], index: 0, deleted: 0, inserted: "x" },
    ],
  ]);
});
