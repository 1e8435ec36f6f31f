/** Devices that hold nothing of a long document's history yet, on a line that takes its time to bring it. */

import assert from "node:assert/strict";

import { crash, joinDocument, load, loaded, open, synced, titles, write } from "./support/browser.js";
import { onSlowLine } from "./support/newcomer.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

test("a newcomer reads and edits what the server shows first, long before the history has come, and so it is when that is there", () => onSlowLine(stage, "notes/newcomer", async (ann, line, name) => {
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
  const whole = () => (({ loading, progress = 1 }) => [loading, progress > 0 && progress < 1])(globalThis.client.status);
  assert.deepEqual(await bob.evaluate(whole), [true, true], "the client says so, too");
  // Somebody else writes there meanwhile.
  await write(ann, "meanwhile");
  await ann.evaluate(() => globalThis.client.goOnline());
  await synced(ann);
  assert.equal(await bob.evaluate(() => globalThis.doc.status.loading), true, "the line is slow enough");
  line.heal();
  await loaded(bob);
  assert.deepEqual(await bob.evaluate(whole), [false, false]);
  await bob.evaluate(() => (globalThis as unknown as { saved: Promise<void> }).saved);
  for (const page of [bob, ann]) {
    await titles(page, "by the newcomer", "meanwhile", "written before");
    await synced(page);
    assert.equal(await page.evaluate(() => String(globalThis.doc.value.body)), "body!");
    assert.deepEqual(await page.evaluate(() => globalThis.doc.marks(["body"])), bold(1, 5));
  }
}));

/** Tabs that follow showed nothing before they had all of the history from the one that leads. */
test("all tabs of a newcomer read and edit what the server shows the first of them, and all of it is there once, whoever of them crashes", () =>
  onSlowLine(stage, "notes/newcomer-tabs", async (ann, line, name) => {
    const context = await stage.chromium.context();
    const [bob, early] = [await open(context, stage.site.origin), await open(context, stage.site.origin)];
    for (const page of [bob, early]) await joinDocument(page, line.url, { name });
    const late = await open(context, stage.site.origin);
    await titles(bob, "written before");
    await joinDocument(late, line.url, { name });
    const tabs = [bob, early, late];
    for (const page of tabs) await titles(page, "written before");
    const standing = () => [globalThis.client.status.leads, globalThis.doc.status.loading, globalThis.doc.status.state, String(globalThis.doc.value.body)];
    for (const page of tabs) assert.deepEqual(await page.evaluate(standing), [page === bob, true, "syncing", "body"], "the line is slow enough");
    for (const [index, page] of tabs.entries()) await write(page, `tab ${index}`);
    await titles(early, "written before", "tab 1");
    // Who leads then begins anew.
    await crash(bob);
    await late.waitForFunction(() => globalThis.client.status.connected);
    line.heal();
    await ann.evaluate(() => globalThis.client.goOnline());
    for (const page of [early, late, ann]) {
      await titles(page, "written before", "tab 0", "tab 1", "tab 2");
      await loaded(page);
      await synced(page);
      assert.deepEqual(await page.evaluate(() => globalThis.doc.outbox), []);
    }
    const positions = () => globalThis.client.inspect().then(({ documents }) => documents[0]?.cursor);
    assert.equal(await early.evaluate(positions), await late.evaluate(positions));
  }));

/** It took its last tab's word that all was there, and waited for a connection. */
test("a tab that follows a newcomer makes its edits changes as soon as it has the history, with or without a network", () =>
  onSlowLine(stage, "notes/newcomer-follows", async (_, line, name) => {
    const context = await stage.chromium.context();
    const [bob, other] = [await open(context, stage.site.origin), await open(context, stage.site.origin)];
    await joinDocument(bob, line.url, { name });
    await joinDocument(other, line.url, { name });
    for (const page of [bob, other]) await titles(page, "written before");
    await write(other, "by the other tab");
    // The line goes with the last of it.
    await bob.evaluate(() => globalThis.doc.subscribe(({ status }) => void (status.loading || globalThis.client.goOffline())));
    line.heal();
    await loaded(bob);
    await loaded(other);
    await titles(bob, "written before", "by the other tab");
    const states = await other.evaluate(() => globalThis.doc.outbox.map(({ state }) => state));
    assert.ok(!states.includes("waits"), `${states}`);
  }));

test("a tab that opens what it leads others in is shown what the server shows first as well", () => onSlowLine(stage, "notes/newcomer-led", async (_, line, name) => {
  const context = await stage.chromium.context();
  const [bob, other] = [await open(context, stage.site.origin), await open(context, stage.site.origin)];
  await joinDocument(bob, line.url, { name: "notes/another" });
  await joinDocument(other, line.url, { name });
  await titles(other, "written before");
  await bob.evaluate(async (name) => {
    const { Counter, Text } = globalThis.rejoin;
    globalThis.doc = await globalThis.client.open(name, { init: { notes: [], body: new Text(), left: new Counter(3) } });
  }, name);
  await titles(bob, "written before");
  assert.deepEqual(await bob.evaluate(() => [globalThis.client.status.leads, globalThis.doc.status.loading]), [true, true]);
}));

test("a newcomer who has edited nothing, and loads the page again before the history has come, waits for it", () => onSlowLine(stage, "notes/newcomer-reloads", async (ann, line, name) => {
  const bob = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(bob, line.url, { name });
  await titles(bob, "written before");
  assert.equal(await bob.evaluate(() => globalThis.doc.status.loading), true, "the line is slow enough");
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

test("what a device has written before it first met the server is shown and saved all the while the history comes", () => onSlowLine(stage, "notes/newcomer-with-own", async (ann, line, name) => {
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
