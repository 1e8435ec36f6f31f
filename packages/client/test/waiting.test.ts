/** What a newcomer edits before the history has come: kept on the device, through crashes and reloads, and sent once. */

import assert from "node:assert/strict";

import type { BrowserContext, Page } from "playwright-core";

import { crash, joinDocument, load, loaded, open, synced, titles, write } from "./support/browser.js";
import type { Line } from "./support/line.js";
import { onSlowLine } from "./support/newcomer.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

/** A page of a newcomer who sees the document, and whose network has gone since. */
async function newcomer(context: BrowserContext, line: Line, name: string): Promise<Page> {
  const page = await open(context, stage.site.origin);
  await joinDocument(page, line.url, { name });
  await titles(page, "written before");
  line.down();
  await page.waitForFunction(() => !globalThis.client.status.connected);
  return page;
}

/** Where the document stands, as a user may know it, once the engine is there. */
function standing(page: Page): Promise<unknown> {
  return page.evaluate(async () => {
    await globalThis.doc.history;
    const { status, outbox, value } = globalThis.doc;
    const { state, loading, rejected, unsaved } = status;
    const states = outbox.filter((entry) => entry.state === "waits" || entry.state === "rejected").map((entry) => entry.state);
    return { state, loading, rejected, unsaved, states, titles: value.notes.map(({ title }) => title), body: String(value.body) };
  });
}

const WAITS = { state: "offline", loading: true, rejected: 0, unsaved: 0 };

test("what a newcomer edits while the network is gone survives a crash and a reload, and comes to the server once", () =>
  onSlowLine(stage, "notes/waits", async (ann, line, name) => {
    const context = await stage.chromium.context();
    const bob = await newcomer(context, line, name);
    await write(bob, "by the newcomer");
    await bob.evaluate(async () => {
      const { doc } = globalThis;
      doc.change((draft) => draft.body.insert(4, "!"));
      await doc.saved(doc.change((draft) => draft.left.increment(2)));
    });
    const first = { ...WAITS, states: ["waits", "waits", "waits"], titles: ["written before", "by the newcomer"], body: "body!" };
    assert.deepEqual(await standing(bob), first);
    await crash(bob);

    const again = await open(context, stage.site.origin);
    await joinDocument(again, line.url, { name });
    assert.deepEqual(await standing(again), first);
    const pending = () => again.evaluate(() => [globalThis.doc.status.pending, globalThis.client.status.pending, globalThis.client.status.unsaved]);
    assert.deepEqual(await pending(), [3, 3, 0]);
    // On top of that.
    await again.evaluate(async () => {
      const { doc } = globalThis;
      await doc.saved(doc.change((draft) => Object.assign(draft.notes[1] as object, { title: "said better" })));
    });
    await load(again, stage.site.origin);
    await joinDocument(again, line.url, { name });
    const then = { ...first, states: Array(4).fill("waits"), titles: ["written before", "said better"] };
    assert.deepEqual(await standing(again), then);
    await again.evaluate(() => globalThis.client.close());
    await load(again, stage.site.origin);
    await joinDocument(again, line.url, { name });
    assert.deepEqual(await standing(again), then);

    // Meanwhile somebody has written there.
    await ann.evaluate(() => globalThis.client.goOnline());
    await write(ann, "meanwhile");
    await synced(ann);
    line.heal();
    line.up();
    for (const page of [again, ann]) {
      await titles(page, "said better", "meanwhile", "written before");
      await loaded(page);
      await synced(page);
      assert.deepEqual(await page.evaluate(() => [String(globalThis.doc.value.body), globalThis.doc.value.left, globalThis.doc.outbox]), ["body!", 5, []]);
    }
    // Nothing is left that would be done again.
    await load(again, stage.site.origin);
    await joinDocument(again, line.url, { name });
    await loaded(again);
    await synced(again);
    assert.deepEqual(await again.evaluate(() => [String(globalThis.doc.value.body), globalThis.doc.value.left, globalThis.doc.value.notes.length]), ["body!", 5, 3]);
  }));
