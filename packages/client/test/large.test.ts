/** Long documents, and devices that are used for long. */

import assert from "node:assert/strict";

import { type Page } from "playwright-core";

import { joinDocument, load, loaded, open, synced } from "./support/browser.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

/** One character each; so many of them are one change. */
const EDITS = 100_000;
const EDITS_A_CHANGE = 1_000;
/** What two type at once in the end, and the pause after each key. */
const TYPED = 60;
const PAUSE_MS = 20;
/** A map, and what somebody adds to it offline, and in how many places of a text they write. */
const KEYS = 20_000;
const NEW_KEYS = 1_000;
const PLACES = 300;
/** How often a page is loaded. */
const LOADS = 20;

test("a document of 100,000 edits is opened and typed in by two at once, and both have the same in the end", async () => {
  const name = "notes/large";
  const ann = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(ann, stage.server.url, { name });
  await ann.evaluate(
    async ({ edits, each }) => {
      const { doc } = globalThis;
      for (let made = 0; made < edits; made += each) {
        const change = doc.change((draft) => {
          for (let n = 0; n < each; n += 1) {
            const length = draft.body.length;
            if ((made + n) % 5 === 4) draft.body.splice((made * 31 + n * 17) % length, 1, "");
            else draft.body.insert(n === 0 ? (made * 13) % (length + 1) : length, "abcdefgh "[(made / each + n) % 9] as string);
          }
        });
        doc.commit();
        if (made % (each * 10) === 0) await doc.saved(change);
      }
    },
    { edits: EDITS, each: EDITS_A_CHANGE },
  );
  await synced(ann);
  const length = await ann.evaluate(() => globalThis.doc.value.body.length);
  assert.equal(length, (EDITS / 5) * 3);

  const bob = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(bob, stage.server.url, { name });
  await Promise.all([type(ann, "A", 1_000), type(bob, "B", 0)]);
  for (const page of [ann, bob]) {
    await page.waitForFunction((length) => globalThis.doc.value.body.length === length, length + 2 * TYPED);
    await loaded(page);
    await synced(page);
  }
  const [here, there] = await Promise.all([ann, bob].map((page) => page.evaluate(() => String(globalThis.doc.value.body))));
  assert.ok(here === there, "both show the same text");
  for (const typed of ["A", "B"]) assert.ok(here?.includes(typed.repeat(TYPED)), `what was typed stands together: ${typed}`);
});

/** Types behind what was typed before, as at a caret. */
async function type(page: Page, key: string, at: number): Promise<void> {
  await page.evaluate(
    async ({ key, at, count, pause }) => {
      const { doc } = globalThis;
      let caret = at;
      for (let n = 0; n < count; n += 1) {
        const before = n === 0 ? -1 : String(doc.value.body).lastIndexOf(key);
        caret = before < 0 ? Math.min(caret, doc.value.body.length) : before + 1;
        doc.change((draft) => draft.body.insert(caret, key));
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    },
    { key, at, count: TYPED, pause: PAUSE_MS },
  );
}

test("a device writes as one author however often the page is loaded, and two tabs as two", async () => {
  const name = "notes/authors";
  const context = await stage.chromium.context();
  const page = await open(context, stage.site.origin);
  for (let n = 0; n < LOADS; n += 1) {
    if (n > 0) await load(page, stage.site.origin);
    await joinDocument(page, stage.server.url, { name });
    await page.evaluate(async (n) => globalThis.doc.saved(globalThis.doc.change((draft) => draft.notes.push({ title: String(n), done: false }))), n);
  }
  const authors = () => page.evaluate(async () => new Set((await globalThis.doc.history).filter(({ mine }) => mine).map(({ actor }) => actor)).size);
  assert.equal(await authors(), 1);
  const other = await open(context, stage.site.origin);
  await joinDocument(other, stage.server.url, { name });
  await other.evaluate(async () => globalThis.doc.saved(globalThis.doc.change((draft) => draft.notes.push({ title: "other", done: false }))));
  await page.waitForFunction((count) => globalThis.doc.value.notes.length === count, LOADS + 1);
  assert.equal(await authors(), 2);
});

/** What somebody has brought from offline is told to a page that has the document open, in as few steps as there are batches of it. */
test("what somebody did offline in many places of a large document comes into an open page at once", async (context) => {
  type Large = { map: Record<string, { title: string; n: number }>; body: import("#dist/index.js").Text };
  type Told = { longest: number; batches: number; listed: number };
  const name = "notes/offline-batch";
  const [ann, bob] = [await open(await stage.chromium.context(), stage.site.origin), await open(await stage.chromium.context(), stage.site.origin)];
  await joinDocument(ann, stage.server.url, { name });
  await ann.evaluate((keys) => {
    const doc = globalThis.doc as unknown as import("#dist/index.js").SyncDocument<Large>;
    doc.change((draft) => {
      draft.map = Object.fromEntries(Array.from({ length: keys }, (_, n) => [`key ${(n * 7_919) % 1_000_003}`, { title: "old", n }]));
    });
    doc.change((draft) => draft.body.insert(0, "lorem ipsum ".repeat(10_000)));
  }, KEYS);
  await synced(ann);
  await joinDocument(bob, stage.server.url, { name });
  await bob.waitForFunction((keys) => Object.keys((globalThis.doc.value as unknown as Large).map ?? {}).length === keys && globalThis.doc.value.body.length === 120_000, KEYS);
  await loaded(bob);
  await bob.evaluate(async ({ keys, added, places }) => {
    globalThis.client.goOffline();
    const doc = globalThis.doc as unknown as import("#dist/index.js").SyncDocument<Large>;
    for (let n = 0; n < added; n += 100) {
      doc.change((draft) => {
        for (let more = n; more < n + 100; more += 1) draft.map[`key ${((keys + more) * 7_919) % 1_000_003}`] = { title: "new", n: more };
      });
    }
    const edit = doc.change((draft) => {
      for (let n = 0; n < places; n += 1) draft.body.insert(n * 400, "here");
    });
    await doc.saved(edit);
  }, { keys: KEYS, added: NEW_KEYS, places: PLACES });

  await ann.evaluate(() => {
    const told: Told = { longest: 0, batches: 0, listed: 0 };
    Object.assign(globalThis, { told });
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) told.longest = Math.max(told.longest, duration);
    }).observe({ type: "longtask" });
    let last: unknown = globalThis.doc.value;
    globalThis.doc.subscribe(({ value, patches }) => {
      if (value === last || patches.length === 0) return;
      last = value;
      told.batches += 1;
    });
    const { keys } = Object;
    Object.keys = (of: object) => {
      const found = keys(of);
      told.listed += found.length;
      return found;
    };
  });
  await bob.evaluate(() => globalThis.client.goOnline());
  const all = { keys: KEYS + NEW_KEYS, length: 120_000 + PLACES * "here".length };
  // Not by `Object.keys`, which is counted.
  await ann.waitForFunction(({ keys, length }) => {
    const { map, body } = globalThis.doc.value as unknown as { map: object; body: string };
    return body.length === length && Object.getOwnPropertyNames(map).length === keys;
  }, all);
  await synced(bob);
  const { longest, batches, listed } = await ann.evaluate(() => (globalThis as unknown as { told: Told }).told);
  context.diagnostic(`the page's longest task: ${longest > 0 ? `${longest} ms` : "less than 50 ms"}, in ${batches} batches`);
  assert.ok(batches > 0 && listed < 10 * all.keys * batches, `${listed} keys were listed for ${batches} batches`);
  const seen = await Promise.all([ann, bob].map((page) => page.evaluate(() => JSON.stringify(globalThis.doc.value))));
  assert.ok(seen[0] === seen[1], "both show the same, key by key");
});
