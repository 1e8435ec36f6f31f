/** Storage that is full, blocked, or of a newer version of the application by now, while a client is to start or runs. */

import assert from "node:assert/strict";

import type { Page } from "playwright-core";

import type { ChangeId } from "#dist/index.js";

import { joinDocument, load, loaded, open, synced, titles, write } from "./support/browser.js";
import { tightStorage } from "./support/full.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

/** The document says that this device is full. */
async function saysFull(page: Page): Promise<void> {
  await page.waitForFunction(() => globalThis.doc.status.state === "storage-full" && globalThis.client.status.state === "storage-full");
}

/** Lets go of what is kept for the next start, which is let go of first on a full device. */
async function dropViews(page: Page): Promise<void> {
  await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const request = indexedDB.deleteDatabase("rejoin:test:views");
        request.onsuccess = resolve;
        request.onerror = reject;
      }),
  );
}

/** Adds a note; gives the edit's number. */
function add(page: Page, title: string): Promise<ChangeId> {
  return page.evaluate((title) => globalThis.doc.change((draft) => draft.notes.push({ title, done: false })), title);
}

/** To take the lead is a write, and every read waited for it: a page that was loaded again showed nothing for long, and never said why. */
test("a page that is loaded again on a full device shows what is saved, says so, and goes on by itself once there is room", async () => {
  const name = "notes/full";
  const page = await open(await stage.chromium.context(), stage.site.origin);
  const full = await tightStorage(page, stage.site.origin);
  await joinDocument(page, stage.server.url, { name, offline: true });
  await write(page, "with room");
  await dropViews(page);
  await full(true);

  await load(page, stage.site.origin);
  await joinDocument(page, stage.server.url, { name });
  await titles(page, "with room");
  await loaded(page);
  await saysFull(page);
  assert.equal(await page.evaluate(() => globalThis.client.status.leads), false);
  const edit = await add(page, "without room");
  assert.equal(await page.evaluate(() => globalThis.doc.status.unsaved), 1);
  await saysFull(page);

  await full(false);
  await page.evaluate((edit) => globalThis.doc.saved(edit), edit);
  await synced(page);
  await titles(page, "with room", "without room");
});

test("a tab that is to lead on a full device reads, edits and says so until there is room, and leads then", async () => {
  const name = "notes/full-tabs";
  const context = await stage.chromium.context();
  const [first, second] = [await open(context, stage.site.origin), await open(context, stage.site.origin)];
  const full = await tightStorage(second, stage.site.origin);
  await joinDocument(first, stage.server.url, { name });
  await write(first, "by the leader");
  await joinDocument(second, stage.server.url, { name });
  await titles(second, "by the leader");
  await synced(second);
  await dropViews(second);
  await full(true);
  await first.evaluate(() => globalThis.client.close());
  await saysFull(second);
  await add(second, "nobody leads");
  await second.evaluate(async () => void (await globalThis.client.open("notes/another")));
  await full(false);
  await second.waitForFunction(() => globalThis.client.status.leads);
  await synced(second);
  await titles(second, "by the leader", "nobody leads");
});
