/** The stores keep the contract of local stores, in a real browser; and a client says so when one fails. */

import assert from "node:assert/strict";
import { after, before } from "node:test";

import { Chromium, inWorkers, joinDocument, load, open, synced, titles, write } from "./support/browser.js";
import { tightStorage } from "./support/full.js";
import { SyncServer } from "./support/server.js";
import { Site } from "./support/site.js";
import { test } from "./timed.js";

const PARTS = 8;

let site: Site;
let chromium: Chromium;

before(async () => {
  site = await Site.start();
  chromium = await Chromium.start();
});

after(async () => {
  await chromium?.remove();
  await site?.stop();
});

test("the IndexedDB store keeps the contract", async () => {
  const page = await open(await chromium.context(), site.origin);
  await page.exposeFunction("breakWrites", await tightStorage(page, site.origin));
  const parts = await page.evaluate(async () => {
    const { run } = (await import("/test/contract.js" as string)) as typeof import("./contract.js");
    const { IndexedDbStore } = await import("#modules/store/indexeddb.js");
    const { breakWrites } = globalThis as unknown as { breakWrites: (broken: boolean) => Promise<void> };
    return run((part) => ({ open: () => IndexedDbStore.open(`contract-${part}`), breakWrites }));
  });
  assert.equal(parts.length, PARTS);
});

test("the memory store keeps the contract", async () => {
  const page = await open(await chromium.context(), site.origin);
  const parts = await page.evaluate(async () => {
    const { run } = (await import("/test/contract.js" as string)) as typeof import("./contract.js");
    const { MemoryStore } = await import("#modules/store/memory.js");
    return run(() => ({ open: async () => new MemoryStore() }));
  });
  assert.equal(parts.length, PARTS);
});

test("a store of a newer version is refused, and left as it is", async () => {
  const page = await open(await chromium.context(), site.origin);
  const code = await page.evaluate(async () => {
    await new Promise<void>((resolve, reject) => {
      const request = indexedDB.open("rejoin:default", 99);
      request.onsuccess = () => (request.result.close(), resolve());
      request.onerror = () => reject(request.error);
    });
    return globalThis.rejoin.connect("ws://127.0.0.1:9/sync").then(
      () => "none",
      (error: { code?: string }) => error.code,
    );
  });
  assert.equal(code, "store-newer");
});

test("a document seen before is shown though its store is of a newer version by now; editing it is refused", async () => {
  const page = await open(await chromium.context(), site.origin);
  const offline = { offline: true };
  await page.evaluate(async (options) => {
    const client = await globalThis.rejoin.connect("ws://127.0.0.1:9/sync", options);
    const doc = await client.open<{ title: string }>("seen");
    await doc.saved(doc.change((draft) => (draft.title = "seen")));
    await client.close();
    await new Promise<void>((resolve, reject) => {
      const request = indexedDB.open("rejoin:default", 99);
      request.onsuccess = () => (request.result.close(), resolve());
      request.onerror = () => reject(request.error);
    });
  }, offline);
  const seen = await page.evaluate(async (options) => {
    const client = await globalThis.rejoin.connect("ws://127.0.0.1:9/sync", options);
    const doc = await client.open<{ title: string }>("seen");
    const code = (error: unknown) => (error as { code?: string }).code;
    await new Promise<void>((failed) => client.subscribe(({ state }) => state === "failed" && failed()));
    let refused: unknown;
    try {
      doc.change((draft) => (draft.title = "lost"));
    } catch (error) {
      refused = code(error);
    }
    const others = await client.open("other").catch(code);
    return { title: doc.value.title, state: doc.status.state, refused, others };
  }, offline);
  assert.deepEqual(seen, { title: "seen", state: "failed", refused: "store-newer", others: "store-newer" });
});

test("a store whose leader has changed refuses what the one before still writes, and takes edits of all", async () => {
  const page = await open(await chromium.context(), site.origin);
  const seen = await page.evaluate(async () => {
    const { IndexedDbStore } = await import("#modules/store/indexeddb.js");
    const before = await IndexedDbStore.open("fenced");
    const next = await IndexedDbStore.open("fenced");
    const put = (value: number) => [{ kind: "put", table: "chunk", key: new Uint8Array([1]), value: new Uint8Array([value]) } as const];
    const epochs = [await before.lead()];
    await before.commit(put(1), epochs[0]);
    epochs.push(await next.lead());
    const refused = await before.commit(put(2), epochs[0]).then(
      () => "none",
      (error: { code?: string }) => error.code,
    );
    const [rows] = await next.read(["chunk"], new Uint8Array());
    const kept = rows?.map(([, value]) => [...value]);
    // What comes under no number is an edit.
    await before.commit(put(3));
    return { epochs, refused, kept };
  });
  assert.deepEqual(seen, { epochs: [1, 2], refused: "deposed", kept: [[1]] });
});

test("a database of the version before is read, with what was not sent", async (t) => {
  const server = await SyncServer.start(site.origin);
  t.after(() => server.remove());
  const page = await open(await chromium.context(), site.origin);
  await joinDocument(page, server.url);
  await write(page, "sent");
  await synced(page);
  await page.evaluate(() => globalThis.client.goOffline());
  for (const title of ["first", "second"]) await write(page, title);
  await page.evaluate(() => globalThis.client.close());
  const version = await page.evaluate(async () => {
    const { toVersion1 } = (await import("/test/versions.js" as string)) as typeof import("./versions.js");
    return toVersion1("rejoin:test");
  });
  assert.equal(version, 1);
  await joinDocument(page, server.url);
  await synced(page);
  await titles(page, "sent", "first", "second");
  const other = await open(await chromium.context(), site.origin);
  await joinDocument(other, server.url);
  await titles(other, "sent", "first", "second");
});

test("a page that may keep nothing works in memory, and says so", async () => {
  const context = await chromium.context();
  await inWorkers(context, site.origin, 'Object.defineProperty(globalThis, "indexedDB", { value: undefined });');
  const page = await open(context, site.origin);
  await joinDocument(page, "ws://127.0.0.1:9/sync");
  await write(page, "in memory");
  assert.equal(await page.evaluate(() => globalThis.client.status.storage), "memory");
});

test("on a full device edits stay in memory and are shown as such, and are saved once there is room", async (t) => {
  const server = await SyncServer.start(site.origin);
  t.after(() => server.remove());
  const page = await open(await chromium.context(), site.origin);
  const full = await tightStorage(page, site.origin);
  await joinDocument(page, server.url, { offline: true });
  await write(page, "with room");
  await full(true);
  const edit = await page.evaluate(() => {
    return globalThis.doc.change((draft) => draft.notes.push({ title: "x".repeat(200_000), done: false }));
  });
  await page.waitForFunction(() => globalThis.doc.status.state === "storage-full");
  assert.equal(await page.evaluate(() => globalThis.doc.status.unsaved), 1);
  await full(false);
  await page.evaluate((edit) => globalThis.doc.saved(edit), edit);
  await page.evaluate(() => globalThis.client.goOnline());
  await synced(page);

  await load(page, site.origin);
  await joinDocument(page, server.url, { offline: true });
  await titles(page, "with room", "x".repeat(200_000));
});
