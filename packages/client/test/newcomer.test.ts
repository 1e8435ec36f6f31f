/** Devices that hold nothing of a long document's history yet, on a line that takes its time to bring it. */

import assert from "node:assert/strict";

import type { Page } from "playwright-core";

import { joinDocument, load, loaded, open, synced, titles, write } from "./support/browser.js";
import { Line } from "./support/line.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

/** Titles that a note had before: a newcomer has to get it, and sees nothing of it. So many changes have a snapshot. */
const FORGOTTEN = { changes: 1_200, characters: 400 };
const SLOW = { latenessMs: 0, bytesPerS: 60_000, cutAfter: [1e9, 1e9] } as const;

/** A page that has written a long document, which the server has a snapshot of: a note, and a text. It is offline. */
async function author(name: string): Promise<Page> {
  const ann = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(ann, stage.server.url, { name });
  await write(ann, "");
  await ann.evaluate(async ({ changes, characters }) => {
    const { doc } = globalThis;
    const retitle = (title: string) => doc.change((draft) => Object.assign(draft.notes[0] as object, { title }));
    doc.change((draft) => {
      draft.body.insert(0, "body");
      draft.body.mark(0, 4, "bold", true);
    });
    for (let n = 0; n < changes; n += 1) {
      retitle(Array.from({ length: characters }, () => Math.floor(Math.random() * 36).toString(36)).join(""));
      doc.commit();
    }
    await doc.acknowledged(retitle("written before"));
  }, FORGOTTEN);
  await synced(ann);
  await ann.evaluate(() => globalThis.client.goOffline());
  await stage.server.compact();
  return ann;
}

/** A long document, the page that wrote it, and a slow line for who comes to it. */
async function onSlowLine(name: string, come: (ann: Page, line: Line, name: string) => Promise<void>): Promise<void> {
  const ann = await author(name);
  const line = await Line.open(stage.server.url, SLOW);
  try {
    await come(ann, line, name);
  } finally {
    await line.close();
  }
}

test("a newcomer reads and edits what the server shows first, long before the history has come, and so it is when that is there", () => onSlowLine("notes/newcomer", async (ann, line, name) => {
  const bob = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(bob, line.url, { name });
  await titles(bob, "written before");
  const shown = await bob.evaluate(() => {
    const { doc } = globalThis;
    Object.assign(globalThis, { saved: doc.saved(doc.change((draft) => void draft.notes.unshift({ title: "by the newcomer", done: false }))) });
    const first = doc.marks(["body"]);
    doc.change((draft) => draft.body.insert(4, "!"));
    doc.change((draft) => draft.body.unmark(0, 1, "bold"));
    const { loading, unsaved } = doc.status;
    return { loading, unsaved, body: String(doc.value.body), first, then: doc.marks(["body"]) };
  });
  const bold = (from: number, to: number) => [{ from, to, name: "bold", value: true }];
  assert.deepEqual(shown, { loading: true, unsaved: 3, body: "body!", first: bold(0, 4), then: bold(1, 5) });
  await bob.waitForFunction(() => (globalThis.doc.status.progress ?? 0) > 0);
  // Somebody else writes there meanwhile.
  await write(ann, "meanwhile");
  await ann.evaluate(() => globalThis.client.goOnline());
  await synced(ann);
  assert.equal(await bob.evaluate(() => globalThis.doc.status.loading), true, "the line is slow enough");
  line.heal();
  await loaded(bob);
  await bob.evaluate(() => (globalThis as unknown as { saved: Promise<void> }).saved);
  for (const page of [bob, ann]) {
    await titles(page, "by the newcomer", "meanwhile", "written before");
    await synced(page);
    assert.equal(await page.evaluate(() => String(globalThis.doc.value.body)), "body!");
    assert.deepEqual(await page.evaluate(() => globalThis.doc.marks(["body"])), bold(1, 5));
  }
}));

test("a newcomer who loads the page again before the history has come waits for it, with nothing shown that can't be edited yet", () => onSlowLine("notes/newcomer-reloads", async (ann, line, name) => {
  const bob = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(bob, line.url, { name });
  await titles(bob, "written before");
  const shown = await bob.evaluate(async () => {
    const { doc } = globalThis;
    const state = { saved: false };
    const edit = doc.change((draft) => Object.assign(draft.notes[0] as object, { title: "lost with the page, as it says" }));
    void doc.saved(edit).then(() => (state.saved = true), () => undefined);
    // It has been asked since, and would have answered them.
    await doc.history;
    return { loading: doc.status.loading, unsaved: doc.status.unsaved, ...state };
  });
  assert.deepEqual(shown, { loading: true, unsaved: 1, saved: false }, "the line is slow enough");
  line.down();
  await load(bob, stage.site.origin);
  await joinDocument(bob, line.url, { name });
  // The engine is there once it answers.
  await bob.evaluate(() => globalThis.doc.history);
  assert.deepEqual(await bob.evaluate(() => [globalThis.doc.value.notes.length, globalThis.doc.status.state]), [0, "offline"]);
  await write(bob, "written offline");
  line.up();
  line.heal();
  await ann.evaluate(() => globalThis.client.goOnline());
  for (const page of [bob, ann]) {
    await titles(page, "written before", "written offline");
    await synced(page);
  }
  // It was all there, and so it is after another load without a connection.
  line.down();
  await load(bob, stage.site.origin);
  await joinDocument(bob, line.url, { name });
  await titles(bob, "written before", "written offline");
}));

test("what a device has written before it first met the server is shown and saved all the while the history comes", () => onSlowLine("notes/newcomer-with-own", async (ann, line, name) => {
  const bob = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(bob, line.url, { name, offline: true });
  await write(bob, "written offline");
  await bob.evaluate(() => {
    const { doc, client } = globalThis;
    const without: unknown[] = [];
    Object.assign(globalThis, { without });
    doc.subscribe(({ value }) => void (value.notes.some(({ title }) => title === "written offline") || without.push(value.notes)));
    client.goOnline();
  });
  await bob.waitForFunction(() => (globalThis.doc.status.progress ?? 0) > 0);
  // What is written now does not wait for the history.
  await write(bob, "while it comes");
  const shown = await bob.evaluate(() => {
    const { loading, progress, unsaved } = globalThis.doc.status;
    return { loading, unsaved, comes: (progress ?? 1) < 1, titles: globalThis.doc.value.notes.map(({ title }) => title) };
  });
  assert.deepEqual(shown, { loading: false, unsaved: 0, comes: true, titles: ["written offline", "while it comes"] });
  line.heal();
  await ann.evaluate(() => globalThis.client.goOnline());
  for (const page of [bob, ann]) {
    await titles(page, "while it comes", "written before", "written offline");
    await synced(page);
    assert.equal(await page.evaluate(() => String(globalThis.doc.value.body)), "body");
  }
  assert.deepEqual(await bob.evaluate(() => (globalThis as unknown as { without: unknown[] }).without), [], "always shown");
}));
