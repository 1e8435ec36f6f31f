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
