/** A server that has forgotten, clocks that are wrong, and a bad line. */

import assert from "node:assert/strict";

import { inWorkers, joinDocument, loaded, open, synced, titles, value, write } from "./support/browser.js";
import { Line } from "./support/line.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

test("a server killed and restored from an old backup gets back from two tabs all that it lacks", async () => {
  const name = "notes/restored";
  const context = await stage.chromium.context();
  const [leader, follower] = [await open(context, stage.site.origin), await open(context, stage.site.origin)];
  await joinDocument(leader, stage.server.url, { name });
  await write(leader, "backed up");
  await synced(leader);
  const backup = await stage.server.backup();
  await joinDocument(follower, stage.server.url, { name });
  await write(leader, "by the leader");
  await write(follower, "by the follower");
  for (const page of [leader, follower]) {
    await titles(page, "backed up", "by the follower", "by the leader");
    await synced(page);
  }
  await stage.server.restore(backup);
  // Connected again, it puts back into its outbox what the log has lost, and pushes it.
  for (const page of [leader, follower]) await page.waitForFunction(() => globalThis.client.status.connected);
  const bob = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(bob, stage.server.url, { name });
  for (const page of [bob, leader, follower]) {
    await titles(page, "backed up", "by the follower", "by the leader");
    await synced(page);
  }
  await write(bob, "afterwards");
  await titles(follower, "afterwards", "backed up", "by the follower", "by the leader");
});

test("devices whose clocks are an hour off, one ahead and one behind, sync and heal as others do", async () => {
  const name = "notes/clocks";
  const pages = [];
  for (const offset of [3_600_000, -3_600_000]) {
    const context = await stage.chromium.context();
    await inWorkers(context, stage.site.origin, `const now = Date.now.bind(Date); Date.now = () => now() + ${offset};`);
    const page = await open(context, stage.site.origin);
    await joinDocument(page, stage.server.url, { name });
    pages.push(page);
  }
  const [ahead, behind] = pages as [(typeof pages)[0], (typeof pages)[0]];
  await write(ahead, "ahead");
  await titles(behind, "ahead");
  for (const page of pages) await page.evaluate(() => globalThis.client.goOffline());
  await write(ahead, "ahead, offline");
  await write(behind, "behind, offline");
  const times = await Promise.all(pages.map((page) => page.evaluate(() => globalThis.doc.outbox.map((entry) => entry.time.getTime()))));
  assert.ok((times[0]?.[0] as number) - (times[1]?.[0] as number) > 7_000_000, "their clocks differ by two hours");
  for (const page of pages) await page.evaluate(() => globalThis.client.goOnline());
  for (const page of pages) {
    await titles(page, "ahead", "ahead, offline", "behind, offline");
    await synced(page);
  }
});

/** Titles that a note had before: a newcomer has to get it, and sees nothing of it. So many changes have a snapshot. */
const FORGOTTEN = { changes: 1_200, characters: 400 };

test("a newcomer reads and edits what the server shows first, long before the history has come, and so it is when that is there", async () => {
  const name = "notes/newcomer";
  const ann = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(ann, stage.server.url, { name });
  await write(ann, "");
  await ann.evaluate(async ({ changes, characters }) => {
    const { doc } = globalThis;
    const retitle = (title: string) => doc.change((draft) => Object.assign(draft.notes[0] as object, { title }));
    doc.change((draft) => void draft.body.insert(0, "body"));
    for (let n = 0; n < changes; n += 1) {
      retitle(Array.from({ length: characters }, () => Math.floor(Math.random() * 36).toString(36)).join(""));
      doc.commit();
    }
    await doc.acknowledged(retitle("written before"));
  }, FORGOTTEN);
  await synced(ann);
  await ann.evaluate(() => globalThis.client.goOffline());
  await stage.server.compact();
  const line = await Line.open(stage.server.url, { latenessMs: 0, bytesPerS: 60_000, cutAfter: [1e9, 1e9] });
  try {
    const bob = await open(await stage.chromium.context(), stage.site.origin);
    await joinDocument(bob, line.url, { name });
    await titles(bob, "written before");
    const shown = await bob.evaluate(() => {
      const { doc } = globalThis;
      Object.assign(globalThis, { saved: doc.saved(doc.change((draft) => void draft.notes.unshift({ title: "by the newcomer", done: false }))) });
      doc.change((draft) => draft.body.insert(4, "!"));
      const { loading, unsaved } = doc.status;
      return { loading, unsaved, body: String(doc.value.body) };
    });
    assert.deepEqual(shown, { loading: true, unsaved: 2, body: "body!" });
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
    }
  } finally {
    await line.close();
  }
});

test("over a slow line that is cut again and again nothing is lost, nothing comes twice, and all is there once it is good", async () => {
  const name = "notes/line";
  // Too little for one opening and its answers at times, so that messages are cut in the middle.
  const line = await Line.open(stage.server.url, { latenessMs: 40, bytesPerS: 40_000, cutAfter: [300, 3_000] }, 7);
  try {
    const ann = await open(await stage.chromium.context(), stage.site.origin);
    const bob = await open(await stage.chromium.context(), stage.site.origin);
    await joinDocument(ann, line.url, { name });
    await joinDocument(bob, line.url, { name });
    const written: string[] = [];
    for (let n = 0; line.cuts < 12; n += 1) {
      assert.ok(n < 600, `cut ${line.cuts} times only`);
      for (const [page, who] of [[ann, "ann"], [bob, "bob"]] as const) {
        written.push(`${who} ${n}`);
        await write(page, `${who} ${n}`);
      }
    }
    line.heal();
    for (const page of [ann, bob]) {
      await titles(page, ...written);
      await synced(page);
    }
    const witness = await open(await stage.chromium.context(), stage.site.origin);
    await joinDocument(witness, stage.server.url, { name });
    await titles(witness, ...written);
    assert.deepEqual(await value(ann), await value(bob));
  } finally {
    await line.close();
  }
});
