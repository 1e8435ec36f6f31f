/** What a newcomer edits before the history has come: kept on the device, through crashes and reloads, and sent once. */

import assert from "node:assert/strict";

import type { BrowserContext, Page } from "playwright-core";

import type { WaitingLine } from "#dist/index.js";

import { crash, joinDocument, load, loaded, open, synced, titles, write } from "./support/browser.js";
import { tightStorage } from "./support/full.js";
import type { Line } from "./support/line.js";
import { onSlowLine } from "./support/newcomer.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

/** So many more changes have a new snapshot. */
const MORE = 1_100;

/** A page of a newcomer who sees the document, and whose network has gone since. */
async function newcomer(context: BrowserContext, line: Line, name: string): Promise<Page> {
  const page = await open(context, stage.site.origin);
  await joinDocument(page, line.url, { name });
  await titles(page, "written before");
  line.down();
  await page.waitForFunction(() => !globalThis.client.status.connected);
  return page;
}

/** Where the document stands, as a user may know it, once the engine is there. */
function standing(page: Page): Promise<unknown> {
  return page.evaluate(async () => {
    await globalThis.doc.history;
    const { status, outbox, value } = globalThis.doc;
    const { state, loading, rejected, unsaved } = status;
    const states = outbox.filter((entry) => entry.state === "waits" || entry.state === "rejected").map((entry) => entry.state);
    return { state, loading, rejected, unsaved, states, titles: value.notes.map(({ title }) => title), body: String(value.body) };
  });
}

/** How many changes are pending of the document, and of the client, beside root keys that the server may not have; and how many are unsaved. */
function pending(page: Page): Promise<number[]> {
  return page.evaluate(() => {
    const { doc, client } = globalThis;
    const inits = doc.outbox.filter(({ state }) => state !== "waits").length;
    return [doc.status.pending - inits, client.status.pending - inits, client.status.unsaved];
  });
}

const WAITS = { state: "offline", loading: true, rejected: 0, unsaved: 0 };

test("what a newcomer edits while the network is gone survives a crash and a reload, and comes to the server once", () =>
  onSlowLine(stage, "notes/waits", async (ann, line, name) => {
    const context = await stage.chromium.context();
    const bob = await newcomer(context, line, name);
    await write(bob, "by the newcomer");
    await bob.evaluate(async () => {
      const { doc } = globalThis;
      doc.change((draft) => draft.body.insert(4, "!"));
      await doc.saved(doc.change((draft) => draft.left.increment(2)));
    });
    const first = { ...WAITS, states: ["waits", "waits", "waits"], titles: ["written before", "by the newcomer"], body: "body!" };
    assert.deepEqual(await standing(bob), first);
    await crash(bob);

    const again = await open(context, stage.site.origin);
    await joinDocument(again, line.url, { name });
    assert.deepEqual(await standing(again), first);
    assert.deepEqual(await pending(again), [3, 3, 0]);
    const exported = await again.evaluate(async () => {
      const bytes = await globalThis.doc.export();
      const [, ...lines] = new TextDecoder().decode(bytes).split("\n{");
      return lines.map((line) => JSON.parse(`{${line}`) as WaitingLine);
    });
    // Before it may be changes: root keys that the server may not have.
    assert.equal(exported.length, 1);
    const [{ base, entries }] = exported as [(typeof exported)[0]];
    assert.ok(JSON.stringify(base).includes("written before"));
    assert.deepEqual(entries.map(({ edits }) => edits), [
      [["splice", ["notes"], 1, 0, [{ map: [["title", "by the newcomer"], ["done", false]] }]]],
      [["text", ["body"], 4, 0, "!"]],
      [["increment", [], "left", 2]],
    ]);
    // On top of that.
    await again.evaluate(async () => {
      const { doc } = globalThis;
      await doc.saved(doc.change((draft) => Object.assign(draft.notes[1] as object, { title: "said better" })));
    });
    await load(again, stage.site.origin);
    await joinDocument(again, line.url, { name });
    const then = { ...first, states: Array(4).fill("waits"), titles: ["written before", "said better"] };
    assert.deepEqual(await standing(again), then);
    await again.evaluate(() => globalThis.client.close());
    await load(again, stage.site.origin);
    await joinDocument(again, line.url, { name });
    // However early it is asked for.
    assert.match(await again.evaluate(async () => new TextDecoder().decode(await globalThis.doc.export())), /said better/);
    assert.deepEqual(await standing(again), then);

    // Meanwhile somebody has written there.
    await ann.evaluate(() => globalThis.client.goOnline());
    await write(ann, "meanwhile");
    await synced(ann);
    line.heal();
    line.up();
    for (const page of [again, ann]) {
      await titles(page, "said better", "meanwhile", "written before");
      await loaded(page);
      await synced(page);
      assert.deepEqual(await page.evaluate(() => [String(globalThis.doc.value.body), globalThis.doc.value.left, globalThis.doc.outbox]), ["body!", 5, []]);
    }
    assert.equal(await again.evaluate(async () => (await globalThis.doc.export()).length), 0);
    // Nothing is left that would be done again.
    await load(again, stage.site.origin);
    await joinDocument(again, line.url, { name });
    await loaded(again);
    await synced(again);
    assert.deepEqual(await again.evaluate(() => [String(globalThis.doc.value.body), globalThis.doc.value.left, globalThis.doc.value.notes.length]), ["body!", 5, 3]);
  }));

test("the page may end just as the history comes: what waited is there once, then and on the server", () =>
  onSlowLine(stage, "notes/waits-between", async (ann, line, name) => {
    const context = await stage.chromium.context();
    const bob = await newcomer(context, line, name);
    await write(bob, "by the newcomer");
    for (let n = 0; n < 5; n += 1) await write(bob, `note ${n}`);
    const wanted = ["by the newcomer", "note 0", "note 1", "note 2", "note 3", "note 4", "written before"];
    // The worker is killed at the first word of it: what it has made of the edits is on its way to the store, or not even that.
    await bob.evaluate(() => {
      const { client, doc } = globalThis;
      doc.subscribe(({ status }) => void (status.loading || client.crash()));
    });
    line.heal();
    line.up();
    await bob.evaluate(() => globalThis.client.goOnline());
    await bob.waitForFunction(() => globalThis.doc.status.state === "failed");
    await load(bob, stage.site.origin);
    await joinDocument(bob, line.url, { name });
    await loaded(bob);
    await ann.evaluate(() => globalThis.client.goOnline());
    for (const page of [bob, ann]) {
      await titles(page, ...wanted);
      await synced(page);
      assert.equal(await page.evaluate(() => globalThis.doc.value.notes.length), wanted.length);
    }
  }));

test("an edit whose place is gone by the time the history comes stays in the outbox until it is let go, or is a conflict", () =>
  onSlowLine(stage, "notes/waits-gone", async (ann, line, name) => {
    const context = await stage.chromium.context();
    const bob = await newcomer(context, line, name);
    await bob.evaluate(async () => {
      const { doc } = globalThis;
      await doc.saved(doc.change((draft) => Object.assign(draft.notes[0] as object, { title: "by the newcomer" })));
      await doc.saved(doc.change((draft) => draft.body.insert(0, "some")));
    });
    await crash(bob);
    await ann.evaluate(() => globalThis.client.goOnline());
    await ann.evaluate(async (more) => {
      const { doc } = globalThis;
      let last = doc.change((draft) => void draft.notes.splice(0, 1));
      for (let n = 0; n < more; n += 1) last = doc.change((draft) => draft.left.increment(1));
      await doc.acknowledged(last);
    }, MORE);
    await stage.server.compact();
    await ann.evaluate(() => globalThis.client.goOffline());
    line.heal();
    line.up();
    const again = await open(context, stage.site.origin);
    await joinDocument(again, line.url, { name });
    await again.evaluate(() => globalThis.doc.conflicts.subscribe(() => undefined));
    await loaded(again);
    const ended = await again.waitForFunction(() => {
      const { conflicts, status, value } = globalThis.doc;
      if (String(value.body) !== "somebody" || value.notes.length > 0 || status.loading || status.pending > 0) return false;
      const hidden = conflicts.list().some(({ candidates }) => JSON.stringify(candidates).includes("by the newcomer"));
      return status.rejected === 1 ? "rejected" : hidden && "conflict";
    });
    // The server had not made another snapshot yet, and so the edit and the removal were merged.
    if ((await ended.jsonValue()) === "conflict") return;
    const entry = () => again.evaluate(() => globalThis.doc.outbox.map(({ state, code, operations }) => [state, code, operations]));
    assert.deepEqual(await entry(), [["rejected", "place-gone", 1]]);
    await load(again, stage.site.origin);
    await joinDocument(again, line.url, { name });
    await again.evaluate(() => globalThis.doc.history);
    assert.deepEqual(await entry(), [["rejected", "place-gone", 1]]);
    assert.match(await again.evaluate(async () => new TextDecoder().decode(await globalThis.doc.export())), /by the newcomer/);
    const settled = await again.evaluate(async () => {
      const { doc } = globalThis;
      const { change } = doc.outbox[0] as { change: string };
      return [await doc.retry(change), await doc.discard(change)];
    });
    assert.deepEqual(settled, [false, true]);
    await synced(again);
    assert.deepEqual(await again.evaluate(() => [globalThis.doc.outbox, globalThis.doc.status.rejected]), [[], 0]);
  }));

test("another tab that takes the lead goes on with what the first one could not send", () =>
  onSlowLine(stage, "notes/waits-tabs", async (ann, line, name) => {
    const context = await stage.chromium.context();
    const bob = await newcomer(context, line, name);
    const other = await open(context, stage.site.origin);
    await joinDocument(other, line.url, { name });
    await write(bob, "by the newcomer");
    await crash(bob);
    await titles(other, "by the newcomer", "written before");
    assert.deepEqual(await pending(other), [1, 1, 0]);
    assert.ok(await other.evaluate(() => globalThis.client.status.leads));
    await write(other, "by the other tab");
    line.heal();
    line.up();
    await ann.evaluate(() => globalThis.client.goOnline());
    for (const page of [other, ann]) {
      await titles(page, "by the newcomer", "by the other tab", "written before");
      await synced(page);
    }
  }));

/** As the first version kept them: the value that they were made on, and the edits of three changes. */
const KEPT = [
  '{"at":1206,"value":{"map":[["body",{"text":"body","marks":[{"from":0,"to":4,"name":"bold","value":true}]}],["left",{"counter":3}],["notes",{"list":[{"map":[["done",false],["title","written before"]]}]}]]}}',
  '{"edits":[["splice",["notes"],1,0,[{"map":[["title","by the newcomer"],["done",false]]}]]],"time":1795915355994}',
  '{"edits":[["increment",[],"left",2]],"time":1795915356011}',
  '{"edits":[["text",["body"],4,0,"!"],["mark",["body"],0,4,"seen",{"date":1750000000000},null],["put",["notes",0],"raw",{"bytes":[1,2]}],["put",["notes",0],"zero",{"number":"-0"}],["put",["notes",0],"big",{"bigint":"1152921504606846976"}],["put",["notes",0],"none",null]],"time":1795915356012}',
] as const;

test("what waits is kept as it always was, and what was kept so is read and comes to the server", () =>
  onSlowLine(stage, "notes/waits-kept", async (ann, line, name) => {
    const context = await stage.chromium.context();
    const bob = await newcomer(context, line, name);
    const written = await bob.evaluate(async (name) => {
      const { doc } = globalThis;
      const edits = [
        () => doc.change((draft) => draft.notes.push({ title: "by the newcomer", done: false })),
        () => doc.change((draft) => draft.left.increment(2)),
        () =>
          doc.change((draft) => {
            draft.body.insert(4, "!");
            draft.body.mark(0, 4, "seen", new Date(1_750_000_000_000));
            Object.assign(draft.notes[0] as object, { raw: Uint8Array.of(1, 2), zero: -0, big: 2n ** 60n, none: null });
          }),
      ];
      for (const edit of edits) await doc.saved(edit());
      const { waitingRows } = (await import("/test/versions.js" as string)) as typeof import("./versions.js");
      return waitingRows("rejoin:test", name);
    }, name);
    const timeless = (rows: readonly string[]) => rows.map((row) => row.replace(/"(at|time)":\d+/, '"$1":0'));
    assert.deepEqual(timeless(written), timeless(KEPT));
    await bob.evaluate(() => globalThis.client.close());

    line.up();
    const other = await newcomer(await stage.chromium.context(), line, name);
    await other.evaluate(() => globalThis.client.close());
    await other.evaluate(
      async ([name, rows]) => {
        const { putWaiting } = (await import("/test/versions.js" as string)) as typeof import("./versions.js");
        await putWaiting("rejoin:test", name, rows);
      },
      [name, KEPT] as const,
    );
    await joinDocument(other, line.url, { name });
    const titled = ["by the newcomer", "written before"];
    assert.deepEqual(await standing(other), { ...WAITS, states: ["waits", "waits", "waits"], titles: titled.toReversed(), body: "body!" });
    line.heal();
    line.up();
    await ann.evaluate(() => globalThis.client.goOnline());
    for (const page of [other, ann]) {
      await titles(page, ...titled);
      await synced(page);
      const seen = await page.evaluate(() => {
        const { body, left, notes } = globalThis.doc.value;
        const { raw, zero, big, none } = notes[0] as unknown as { raw: Uint8Array; zero: number; big: bigint; none: null };
        const mark = globalThis.doc.marks(["body"]).find(({ name }) => name === "seen");
        return [String(body), left, [...raw], zero === 0, big === 2n ** 60n, none, (mark?.value as Date).getTime()];
      });
      assert.deepEqual(seen, ["body!", 5, [1, 2], true, true, null, 1_750_000_000_000]);
    }
  }));

test("a device that is full keeps what waited before, says so of what comes then, and saves that once there is room", () =>
  onSlowLine(stage, "notes/waits-full", async (ann, line, name) => {
    const context = await stage.chromium.context();
    const bob = await open(context, stage.site.origin);
    const full = await tightStorage(bob, stage.site.origin);
    await joinDocument(bob, line.url, { name });
    await titles(bob, "written before");
    line.down();
    await bob.waitForFunction(() => !globalThis.client.status.connected);
    await bob.evaluate(async () => {
      const { doc } = globalThis;
      await doc.saved(doc.change((draft) => draft.notes.push({ title: "with room", done: false })));
    });
    await full(true);
    const large = "x".repeat(200_000);
    await bob.evaluate((title) => void globalThis.doc.change((draft) => draft.notes.push({ title, done: false })), large);
    await bob.waitForFunction(() => globalThis.doc.status.state === "storage-full");
    const told = () => bob.evaluate(() => [globalThis.doc.status.unsaved, globalThis.doc.outbox.filter(({ state }) => state === "waits").length]);
    assert.deepEqual(await told(), [1, 1]);

    // What was not saved is lost with the page, and nothing else.
    await crash(bob);
    const again = await open(context, stage.site.origin);
    await joinDocument(again, line.url, { name });
    await titles(again, "with room", "written before");
    await again.evaluate((title) => void globalThis.doc.change((draft) => draft.notes.push({ title, done: false })), large);
    await again.waitForFunction(() => globalThis.doc.status.state === "storage-full");
    const roomy = await tightStorage(again, stage.site.origin);
    await roomy(false);
    await again.waitForFunction(() => globalThis.doc.status.unsaved === 0 && globalThis.doc.status.state !== "storage-full");
    line.heal();
    line.up();
    await ann.evaluate(() => globalThis.client.goOnline());
    for (const page of [again, ann]) {
      await titles(page, "with room", large, "written before");
      await synced(page);
    }
  }));
