/** Processes that are killed between an edit that was saved on the device and its acknowledgement by the server. */

import assert from "node:assert/strict";
import { after, before, type TestContext } from "node:test";

import type { Page } from "playwright-core";

import { Chromium, joinDocument, loaded, open, synced, titles, write } from "./support/browser.js";
import { SyncServer } from "./support/server.js";
import { Site } from "./support/site.js";
import { test } from "./timed.js";

let site: Site;

before(async () => {
  site = await Site.start();
});

after(async () => {
  await site?.stop();
});

/** Opens the document, has one change acknowledged, and leaves the next on its way to a server that stands still. */
async function leaveOnItsWay(page: Page, server: SyncServer): Promise<void> {
  await joinDocument(page, server.url);
  await write(page, "acknowledged");
  await synced(page);

  server.signal("SIGSTOP");
  await write(page, "on its way");
  await page.waitForFunction(() => globalThis.doc.outbox.map((entry) => entry.state).join() === "sent");
}

/** What another browser sees, whose only source is the server. */
async function seenByAnother(url: string, ...wanted: string[]): Promise<void> {
  const chromium = await Chromium.start();
  try {
    const page = await open(await chromium.context(), site.origin);
    await joinDocument(page, url);
    await titles(page, ...wanted);
  } finally {
    await chromium.remove();
  }
}

/** A browser and a server that end with the test, however it ends. */
async function both(t: TestContext): Promise<[Chromium, SyncServer]> {
  const chromium = await Chromium.start();
  t.after(() => chromium.remove());
  const server = await SyncServer.start(site.origin);
  t.after(() => server.remove());
  return [chromium, server];
}

test("the server is killed before it acknowledges, and the outbox drains into the next one", async (t) => {
  const [chromium, server] = await both(t);
  const page = await open(await chromium.context(), site.origin);
  await leaveOnItsWay(page, server);
  await server.kill();
  await page.waitForFunction(() => globalThis.doc.status.state === "offline");
  assert.equal(await page.evaluate(() => globalThis.doc.status.pending), 1);

  await server.start();
  await synced(page);
  assert.deepEqual(await page.evaluate(() => globalThis.doc.outbox), []);
  await seenByAnother(server.url, "acknowledged", "on its way");
});

test("the browser is killed before the server acknowledges, and the edit is there when it is opened again, and arrives", async (t) => {
  const [chromium, server] = await both(t);
  let page = await open(chromium.profile, site.origin);
  await leaveOnItsWay(page, server);
  await chromium.kill();
  // It stood still with the push in its socket, and goes without having read it.
  await server.kill();

  await chromium.start();
  page = await open(chromium.profile, site.origin);
  await joinDocument(page, server.url, { offline: true });
  await titles(page, "acknowledged", "on its way");
  await loaded(page);
  assert.equal(await page.evaluate(() => globalThis.doc.status.pending), 1);

  await server.start();
  await page.evaluate(() => globalThis.client.goOnline());
  await synced(page);
  await seenByAnother(server.url, "acknowledged", "on its way");
});
