/** A server that has forgotten, clocks that are wrong, and a bad line. Newcomers on one are in `newcomer.test.ts`. */

import assert from "node:assert/strict";

import type { Page } from "playwright-core";

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

/** By how much the time of each edit that waits in a page's outbox is off, in minutes; no negative zero. */
function minutesOff(page: Page): Promise<number[]> {
  return page.evaluate(() => globalThis.doc.outbox.map(({ time }) => Math.round((time.getTime() - Date.now()) / 60_000) + 0));
}

/** A page on a device of its own, whose clock is this much ahead. */
async function clocked(aheadMs: number): Promise<Page> {
  const context = await stage.chromium.context();
  await inWorkers(context, stage.site.origin, `const now = Date.now.bind(Date); Date.now = () => now() + ${aheadMs};`);
  return open(context, stage.site.origin);
}

const connected = (page: Page) => page.waitForFunction(() => globalThis.client.status.connected);

test("devices whose clocks are an hour off, one ahead and one behind, sync and heal as others do, and write with the right time once they know it", async () => {
  const name = "notes/clocks";
  const [ahead, behind] = [await clocked(3_600_000), await clocked(-3_600_000)];
  const pages = [ahead, behind];
  for (const [page, minutes] of [[ahead, 60], [behind, -60]] as const) {
    await joinDocument(page, stage.server.url, { name, offline: true });
    await write(page, `${minutes}`);
    assert.equal((await minutesOff(page)).at(-1), minutes, "nobody has told it the time");
    await page.evaluate(() => globalThis.client.goOnline());
  }
  for (const page of pages) {
    await titles(page, "60", "-60");
    await synced(page);
    await page.evaluate(() => globalThis.client.goOffline());
  }
  await write(ahead, "ahead, offline");
  await write(behind, "behind, offline");
  for (const page of pages) {
    assert.deepEqual(await minutesOff(page), [0]);
    await page.evaluate(() => globalThis.client.goOnline());
  }
  for (const page of pages) {
    await titles(page, "60", "-60", "ahead, offline", "behind, offline");
    await synced(page);
  }
});

test("what a device whose clock is an hour ahead writes, in whichever tab, does not win by `latest` against what is written later", async () => {
  const name = "notes/latest";
  const [ahead, honest] = [await clocked(3_600_000), await clocked(0)];
  const follower = await open(ahead.context(), stage.site.origin);
  const pages = [ahead, follower, honest];
  for (const page of pages) {
    await joinDocument(page, stage.server.url, { name });
    await connected(page);
  }
  const rename = (page: Page, index: number, title: string) =>
    page.evaluate(({ index, title }) => globalThis.doc.saved(globalThis.doc.change(({ notes }) => void (notes[index]!.title = title))), { index, title });
  for (const title of ["one", "two"]) await write(honest, title);
  for (const page of pages) await titles(page, "one", "two");
  for (const page of [ahead, honest]) await page.evaluate(() => globalThis.client.goOffline());
  await follower.waitForFunction(() => !globalThis.client.status.connected);
  // More edits than the honest one makes, so that without a rule theirs show.
  for (const [index, page] of [ahead, follower].entries()) {
    for (const title of ["draft", "early"]) await rename(page, index, title);
  }
  for (const index of [0, 1]) await rename(honest, index, "late");
  for (const page of [ahead, honest]) await page.evaluate(() => globalThis.client.goOnline());
  for (const page of pages) {
    await titles(page, "early", "early");
    await page.evaluate(() => {
      const { latest, policy } = globalThis.rejoin;
      globalThis.doc.conflicts.setPolicies([policy("notes/*/title", latest())]);
    });
    await page.waitForFunction(() => globalThis.doc.conflicts.list().length === 2);
    const answers = await page.evaluate(() => globalThis.doc.conflicts.list().map(({ state, answer }) => `${state} ${answer as string}`));
    assert.deepEqual(answers, ["projected late", "projected late"]);
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
