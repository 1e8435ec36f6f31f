/** A server that has forgotten, clocks that are wrong, and a bad line. Newcomers on one are in `newcomer.test.ts`. */

import assert from "node:assert/strict";

import { inWorkers, joinDocument, open, synced, titles, value, write } from "./support/browser.js";
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
