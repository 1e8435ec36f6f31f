/** Presence in real pages: between browsers, between the tabs on one store, and when somebody goes without a word. */

import assert from "node:assert/strict";

import type { BrowserContext, Page } from "playwright-core";

import { joinDocument, open, synced } from "./support/browser.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

async function tab(context: BrowserContext, name: string): Promise<Page> {
  const page = await open(context, stage.site.origin);
  await joinDocument(page, stage.server.url, { name });
  await synced(page);
  return page;
}

async function say(page: Page, value: unknown, ttl = 60_000): Promise<void> {
  await page.evaluate(([value, ttl]) => globalThis.doc.presence.set(value, { ttl }), [value, ttl] as const);
}

/** Waits until the page sees these, in any order, through its subscription too. */
async function sees(page: Page, ...values: string[]): Promise<void> {
  await page.evaluate((wanted) => {
    return new Promise<void>((resolve) => {
      const stop = globalThis.doc.presence.subscribe((peers) => {
        if (peers.map(({ value }) => String(value)).toSorted().join() !== wanted.toSorted().join()) return;
        queueMicrotask(() => stop());
        resolve();
      });
    });
  }, values);
  assert.equal(await page.evaluate(() => globalThis.doc.presence.peers.length), values.length);
}

test("everybody sees what each tab says, whichever of them has the connection", async () => {
  const name = "presence/tabs";
  const context = await stage.chromium.context();
  const [lead, follow] = [await tab(context, name), await tab(context, name)];
  assert.equal(await follow.evaluate(() => globalThis.client.status.leads), false);
  const bob = await tab(await stage.chromium.context(), name);
  await say(lead, "lead");
  await say(follow, "follow");
  await say(bob, "bob");
  await sees(bob, "follow", "lead");
  await sees(lead, "bob", "follow");
  await sees(follow, "bob", "lead");
  const late = await tab(context, name);
  await sees(late, "bob", "follow", "lead");

  await say(follow, "moved");
  await sees(bob, "moved", "lead");
  await follow.evaluate(() => globalThis.doc.presence.clear());
  await sees(bob, "lead");
  await sees(late, "bob", "lead");

  await lead.evaluate(() => globalThis.client.close());
  await sees(bob);
  await say(late, "late");
  await sees(bob, "late");
  await sees(late, "bob");
  await sees(follow, "bob", "late");
});

test("a value is gone when its time is over, unless it is said again", async () => {
  const name = "presence/expiry";
  const context = await stage.chromium.context();
  const [ann, other] = [await tab(context, name), await tab(context, name)];
  const bob = await tab(await stage.chromium.context(), name);
  await say(ann, "for long");
  await say(other, "for a moment", 700);
  await sees(bob, "for a moment", "for long");
  await sees(bob, "for long");
  await sees(ann);
});

test("one who goes without a word is gone, and one who comes back after the network did is there again", async () => {
  const name = "presence/gone";
  const [ann, bob] = [await tab(await stage.chromium.context(), name), await tab(await stage.chromium.context(), name)];
  await say(ann, "ann");
  await sees(bob, "ann");
  await ann.evaluate(() => globalThis.client.goOffline());
  await sees(bob);
  await ann.evaluate(() => globalThis.client.goOnline());
  await sees(bob, "ann");
  await ann.close();
  await sees(bob);
});

test("what is no presence is refused", async () => {
  const page = await tab(await stage.chromium.context(), "presence/refused");
  const codes = await page.evaluate(() =>
    ([[undefined, 1], ["x".repeat(3_000), 1], ["x", 0], ["x", Infinity]] as const).map(([value, ttl]) => {
      try {
        globalThis.doc.presence.set(value, { ttl });
        return "";
      } catch (error) {
        return (error as { code: string }).code;
      }
    }),
  );
  assert.deepEqual(codes, ["bad-value", "bad-value", "bad-value", "bad-value"]);
});
