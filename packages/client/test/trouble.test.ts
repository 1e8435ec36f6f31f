/** Storage that is full, blocked, or of a newer version of the application by now, while a client is to start or runs. */

import assert from "node:assert/strict";

import type { Frame, Page } from "playwright-core";

import type { ChangeId } from "#dist/index.js";

import { Chromium, inWorkers, joinDocument, load, loaded, type Notes, open, synced, titles, write } from "./support/browser.js";
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

/** What the origin keeps. */
const databases = async () => (await indexedDB.databases()).map(({ name }) => name);

/** Waits until what is kept for the next start has so many notes. In the page. */
const keptView = async (notes: number) => {
  const database = await new Promise<IDBDatabase>((resolve) => {
    const request = indexedDB.open("rejoin:test:views");
    request.onsuccess = () => resolve(request.result);
  });
  for (let kept = ""; kept.split("title").length <= notes; ) {
    const request = database.transaction("view").objectStore("view").getAll();
    await new Promise((resolve) => (request.onsuccess = resolve));
    kept = JSON.stringify(request.result);
  }
  database.close();
};

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

test("on a full device what is kept for a quick start makes room for an edit", async () => {
  const page = await open(await stage.chromium.context(), stage.site.origin);
  const full = await tightStorage(page, stage.site.origin);
  await joinDocument(page, stage.server.url, { name: "notes/views", offline: true });
  // Not to be packed: it takes its place.
  await page.evaluate(async () => {
    const letters = () => crypto.getRandomValues(new Uint8Array(60_000)).reduce((text, byte) => text + String.fromCharCode(0x4e00 + byte * 16), "");
    for (let n = 0; n < 5; n += 1) await globalThis.doc.saved(globalThis.doc.change((draft) => draft.notes.push({ title: letters(), done: false })));
  });
  await page.evaluate(keptView, 5);
  await full(true, false);
  await add(page, "x".repeat(20_000));
  await page.waitForFunction(() => globalThis.doc.status.unsaved === 0);
  assert.ok(!(await page.evaluate(databases)).includes("rejoin:test:views"));
});

/** A page that stands in an `alert` never hears that it is to let go: saving waited for it, and nothing said that the device was full. */
test("a page that hangs while the device is full keeps nothing from being said, saved or opened in others", async () => {
  const context = await stage.chromium.context();
  const [page, hanging] = [await open(context, stage.site.origin), await open(context, stage.site.origin)];
  const full = await tightStorage(page, stage.site.origin);
  await joinDocument(page, stage.server.url, { name: "notes/hanging", offline: true });
  await hanging.evaluate(() => void Object.assign(globalThis, { held: indexedDB.open("rejoin:test:views") }));
  await full(true);
  const edit = await add(page, "x".repeat(200_000));
  await saysFull(page);
  await full(false);
  await page.evaluate((edit) => globalThis.doc.saved(edit), edit);
  assert.ok((await page.evaluate(databases)).includes("rejoin:test:views"), "the page still holds on to it");
  const another = await open(context, stage.site.origin);
  await joinDocument(another, stage.server.url, { name: "notes/hanging" });
  await titles(another, "x".repeat(200_000));
});

/** Opens the store as a newer version of the application does, and keeps it open. */
function upgrade(page: Page): Promise<void> {
  return page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const request = indexedDB.open("rejoin:test", 99);
        request.onsuccess = () => resolve();
        request.onerror = () => reject(request.error);
      }),
  );
}

/** The code with which a document refuses an edit. */
function refusal(page: Page): Promise<unknown> {
  return page.evaluate(() => {
    try {
      globalThis.doc.change((draft) => draft.notes.push({ title: "too late", done: false }));
    } catch (error) {
      return (error as { code?: string }).code;
    }
    return "none";
  });
}

/** It was told that the device is full, that it should make room, and that all would be saved then. */
test("open tabs save what is edited in them when a newer version wants the store, say that they are to be loaded again, and edit no more", async () => {
  const name = "notes/old-tabs";
  const context = await stage.chromium.context();
  const pages = [await open(context, stage.site.origin), await open(context, stage.site.origin)];
  for (const page of pages) await joinDocument(page, stage.server.url, { name, offline: true });
  const [first, second] = pages as [Page, Page];
  await write(first, "before");
  await titles(second, "before");
  // In the middle of a burst, of which nothing is said to the worker before it pauses.
  await second.evaluate(() => {
    for (const [index, letter] of Array.from("typed").entries()) globalThis.doc.change((draft) => draft.body.insert(index, letter));
    indexedDB.open("rejoin:test", 99);
  });
  for (const page of pages) {
    await page.waitForFunction(() => globalThis.doc.status.failure === "store-newer" && globalThis.client.status.failure === "store-newer");
    assert.deepEqual([await refusal(page), await page.evaluate(() => globalThis.doc.status.unsaved)], ["store-newer", 0]);
    await titles(page, "before");
  }
  const rows = await second.evaluate(async () => {
    const database = await new Promise<IDBDatabase>((resolve) => {
      const request = indexedDB.open("rejoin:test");
      request.onsuccess = () => resolve(request.result);
    });
    const request = database.transaction("outbox").objectStore("outbox").getAll();
    await new Promise((resolve) => (request.onsuccess = resolve));
    return request.result.filter((row: Uint8Array) => new TextDecoder("latin1").decode(row).includes("typed")).length;
  });
  assert.equal(rows, 1, "what was typed is in the store");
});

/** The browser may end a connection without a word, and so may a page be in the background when it happens. */
test("a tab that did not hear of the newer version says so at its next edit, which is shown as unsaved", async () => {
  const context = await stage.chromium.context();
  const deaf = 'Object.defineProperty(IDBDatabase.prototype, "onversionchange", { set() { this.addEventListener("versionchange", () => this.close()); } });';
  await inWorkers(context, stage.site.origin, deaf);
  const page = await open(context, stage.site.origin);
  await joinDocument(page, stage.server.url, { name: "notes/deaf", offline: true });
  await write(page, "before");
  await upgrade(await open(context, stage.site.origin));
  assert.equal(await page.evaluate(() => globalThis.doc.status.state), "offline");
  await add(page, "after");
  await page.waitForFunction(() => globalThis.doc.status.failure === "store-newer" && globalThis.client.status.failure === "store-newer");
  assert.deepEqual([await refusal(page), await page.evaluate(() => globalThis.doc.status.unsaved)], ["store-newer", 1]);
  await titles(page, "after", "before");
});

/** Gives the rows of a table that begin with `prefix` a format of a newer version; gives them. */
function toNewerRows(page: Page, table: string, prefix: string): Promise<string[]> {
  return page.evaluate(
    async ([table, prefix]) => {
      const { toNewerRows } = (await import("/test/versions.js" as string)) as typeof import("./versions.js");
      return toNewerRows("rejoin:test", table, prefix);
    },
    [table, prefix] as const,
  );
}

/** The code with which opening a document fails. */
function opening(page: Page, name: string): Promise<unknown> {
  return page.evaluate((name) => globalThis.client.open(name).then(() => "none", (error: { code?: string }) => error.code), name);
}

/** A newer version may have the same database, and other rows in it. It was told that storage fails, as if there were nothing to be done. */
test("a document whose rows a newer version wrote says that the page is to be loaded again, takes no edit, and stays as it is; others go on", async () => {
  const page = await open(await stage.chromium.context(), stage.site.origin);
  const offline = { offline: true };
  for (const name of ["notes/newer", "notes/same"]) {
    await joinDocument(page, stage.server.url, { name, ...offline });
    await write(page, name);
    await page.evaluate(() => globalThis.client.close());
  }
  const rows = await toNewerRows(page, "outbox", "notes/newer\0");
  assert.ok(rows.length > 0);

  // What was seen last stands for it.
  await load(page, stage.site.origin);
  await joinDocument(page, stage.server.url, { name: "notes/newer", ...offline });
  await page.waitForFunction(() => globalThis.doc.status.failure === "store-newer");
  assert.equal(await page.evaluate(() => globalThis.doc.status.state), "failed");
  await titles(page, "notes/newer");
  assert.equal(await refusal(page), "store-newer");
  await page.evaluate(async () => void (globalThis.doc = await globalThis.client.open<Notes>("notes/same")));
  await loaded(page);
  await write(page, "goes on");
  await titles(page, "notes/same", "goes on");
  await page.evaluate(() => globalThis.client.close());
  assert.deepEqual(await toNewerRows(page, "outbox", "notes/newer\0"), rows, "nothing of it is lost");

  // Nothing of it was seen before.
  await dropViews(page);
  await load(page, stage.site.origin);
  await page.evaluate(async (url) => void (globalThis.client = await globalThis.rejoin.connect(url, { store: "test", offline: true })), stage.server.url);
  assert.deepEqual([await opening(page, "notes/newer"), await opening(page, "notes/same")], ["store-newer", "none"]);
  await page.evaluate(() => globalThis.client.close());

  // Who this device is stands in a row too.
  await toNewerRows(page, "meta", "identity");
  await load(page, stage.site.origin);
  await page.evaluate(async (url) => void (globalThis.client = await globalThis.rejoin.connect(url, { store: "test", offline: true })), stage.server.url);
  await page.waitForFunction(() => globalThis.client.status.failure === "store-newer");
  assert.equal(await opening(page, "notes/unseen"), "store-newer");
});

/** What asking for a lock fails with. */
const lockFails = () => navigator.locks.request("any", () => "nothing").catch((error: Error) => error.name);

/** A client works in memory, and says so. */
async function worksInMemory(page: Page | Frame): Promise<void> {
  await joinDocument(page as Page, stage.server.url);
  assert.equal(await page.evaluate(() => globalThis.client.status.storage), "memory");
  await write(page as Page, "in memory");
  await page.evaluate(() => globalThis.client.close());
}

/** The worker asked for a lock, had an error, and never said that it was there. */
test("where the user has blocked storage, and locks with it, a client works in memory, and says so", async (t) => {
  const blocked = await Chromium.start({ profile: { default_content_setting_values: { cookies: 2 } } });
  t.after(() => blocked.remove());
  const page = await open(blocked.profile, stage.site.origin);
  assert.equal(await page.evaluate(lockFails), "SecurityError");
  await worksInMemory(page);
});

/** Neither a worker nor storage: what failed in the page failed the whole call, with no code to tell it by. */
test("in a frame without an origin, which has no worker either, a client works in memory, and says so", async () => {
  const page = await open(await stage.chromium.context(), stage.site.origin);
  await page.evaluate(() => {
    const frame = document.createElement("iframe");
    frame.setAttribute("sandbox", "allow-scripts");
    frame.src = "/";
    document.body.append(frame);
  });
  const frame = await page.waitForSelector("iframe").then((element) => element.contentFrame());
  assert.ok(frame);
  await frame.waitForFunction(() => "rejoin" in globalThis);
  assert.equal(await frame.evaluate(lockFails), "SecurityError");
  await worksInMemory(frame);
});

test("where there are no locks, as over plain http, a client works in memory, and says so", async () => {
  const context = await stage.chromium.context();
  await inWorkers(context, stage.site.origin, 'Object.defineProperty(WorkerNavigator.prototype, "locks", { value: undefined });');
  const page = await open(context, stage.site.origin);
  await page.evaluate(() => Object.defineProperty(Navigator.prototype, "locks", { value: undefined }));
  await worksInMemory(page);
});

test("a client that has failed, or fails as it is closed, is closed all the same", async () => {
  const page = await open(await stage.chromium.context(), stage.site.origin);
  const close = (failing: "before" | "meanwhile") =>
    page.evaluate(async (failing) => {
      const { client, doc } = globalThis;
      const code = (error: unknown) => (error as { code?: string }).code;
      let heard = 0;
      client.subscribe(() => (heard += 1));
      if (failing === "before") client.crash();
      const closing = client.close();
      if (failing === "meanwhile") client.crash();
      const closed = await closing.catch(code);
      // Again it has nothing to do.
      await client.close();
      const before = heard;
      globalThis.dispatchEvent(new Event("online"));
      const documents = await client.open("another").catch(code);
      let edit: unknown;
      try {
        doc.change((draft) => void draft.left.increment());
      } catch (error) {
        edit = code(error);
      }
      return { closed, documents, edit, told: heard > before };
    }, failing);
  await joinDocument(page, stage.server.url, { offline: true });
  assert.deepEqual(await close("before"), { closed: undefined, documents: "engine-failed", edit: "closed", told: false });
  await joinDocument(page, stage.server.url, { offline: true });
  assert.deepEqual(await close("meanwhile"), { closed: "engine-failed", documents: "engine-failed", edit: "closed", told: false });
});
