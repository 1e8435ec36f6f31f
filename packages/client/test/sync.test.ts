/** Pages in a real browser, edited with and without a network, kept in sync by the real server. */

import assert from "node:assert/strict";

import { joinDocument, load, loaded, open, synced, titles, value, write } from "./support/browser.js";
import { Line } from "./support/line.js";
import { SyncServer } from "./support/server.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

test("two browsers edit while they are offline, and heal", async () => {
  const name = "notes/heal";
  const ann = await open(await stage.chromium.context(), stage.site.origin);
  const bob = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(ann, stage.server.url, { name });
  await joinDocument(bob, stage.server.url, { name });
  await write(ann, "before");
  await titles(bob, "before");

  for (const page of [ann, bob]) await page.evaluate(() => globalThis.client.goOffline());
  await ann.evaluate(() =>
    globalThis.doc.change((draft) => {
      draft.notes.push({ title: "ann", done: false });
      draft.body.insert(0, "Ann 😀. ");
      draft.left.decrement(2);
    }),
  );
  await bob.evaluate(() =>
    globalThis.doc.change((draft) => {
      (draft.notes[0] as { done: boolean }).done = true;
      draft.notes.unshift({ title: "bob", done: false });
      draft.body.insert(0, "Bob. ");
      draft.left.increment(10);
    }),
  );
  assert.equal(await ann.evaluate(() => globalThis.doc.status.state), "offline");
  assert.equal(await ann.evaluate(() => globalThis.doc.status.pending), 1);

  for (const page of [ann, bob]) await page.evaluate(() => globalThis.client.goOnline());
  for (const page of [ann, bob]) {
    await titles(page, "ann", "before", "bob");
    await synced(page);
  }
  const healed = (await value(ann)) as { notes: { title: string; done: boolean }[]; body: string; left: number };
  assert.deepEqual(await value(bob), healed);
  assert.equal(healed.left, 11);
  assert.equal(healed.notes.find((note) => note.title === "before")?.done, true);
  assert.ok(healed.body.includes("Ann 😀. ") && healed.body.includes("Bob. "), healed.body);
});

test("a page is loaded again while the server is down, and its edits are there", async () => {
  const name = "notes/reload";
  const page = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(page, stage.server.url, { name });
  await write(page, "on the server");
  await synced(page);
  await stage.server.kill();
  await page.waitForFunction(() => globalThis.doc.status.state === "offline");
  await write(page, "on this device");

  await load(page, stage.site.origin);
  await joinDocument(page, stage.server.url, { name });
  await titles(page, "on the server", "on this device");
  await loaded(page);
  assert.equal(await page.evaluate(() => globalThis.doc.status.pending), 1);

  await stage.server.start();
  await synced(page);
  const witness = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(witness, stage.server.url, { name });
  await titles(witness, "on the server", "on this device");
});

test("what a page exports is its outbox, one change after another, with what was just typed", async () => {
  const page = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(page, stage.server.url, { name: "notes/export" });
  await synced(page);
  const taken = () => page.evaluate(async () => Array.from(await globalThis.doc.export(), (byte) => byte.toString(16).padStart(2, "0")).join(""));
  assert.equal(await taken(), "");
  await page.evaluate(() => globalThis.client.goOffline());
  await write(page, "offline");
  await page.evaluate(() => void globalThis.doc.change((draft) => draft.body.insert(0, "typed")));
  const exported = await taken();
  const changes = await page.evaluate(() => globalThis.doc.outbox.map(({ change }) => change));
  assert.equal(changes.length, 2);
  // Automerge's chunks: a mark of four bytes, and then the first four of the hash.
  const places = changes.map((change) => exported.indexOf(`856f4a83${change.slice(0, 8)}`));
  assert.equal(places[0], 0);
  assert.equal(exported.lastIndexOf("856f4a83"), places[1]);
  await page.evaluate(() => globalThis.client.goOnline());
  await synced(page);
  assert.equal(await taken(), "");
});

test("a page that comes back with more than it may open and push at once is through with all of it", async () => {
  const slow = await SyncServer.start(stage.site.origin, "--opens-burst=3", "--opens-per-s=5", "--pushes-burst=3", "--pushes-per-s=5");
  try {
    const page = await open(await stage.chromium.context(), stage.site.origin);
    await joinDocument(page, slow.url, { name: "notes/back", offline: true });
    const edits = await page.evaluate(async () => {
      const edits = [];
      for (let n = 0; n < 12; n += 1) {
        const document = await globalThis.client.open<{ n?: number }>(`back/${n}`);
        const edit = document.change((draft) => {
          draft.n = n;
        });
        edits.push(document.acknowledged(edit));
      }
      globalThis.client.goOnline();
      await Promise.all(edits);
      return edits.length;
    });
    assert.equal(edits, 12);
    const { host } = new URL(slow.url);
    const metrics = await (await fetch(`http://${host}/metrics`)).text();
    assert.match(metrics, /^rejoin_rejects_total [1-9]/m, "nobody was told to wait");
    assert.doesNotMatch(metrics, /rejoin_connections_closed_total\{.*\} [1-9]/, "it lost its connection");
  } finally {
    await slow.remove();
  }
});

test("a thousand edits made offline reach the server in one round trip and ten thousand bytes", async () => {
  const name = "notes/thousand";
  const line = await Line.open(stage.server.url);
  try {
    const ann = await open(await stage.chromium.context(), stage.site.origin);
    await joinDocument(ann, line.url, { name });
    await write(ann, "before");
    await synced(ann);
    await ann.evaluate(async () => {
      const { client, doc } = globalThis;
      client.goOffline();
      for (let n = 0; n < 999; n += 1) {
        doc.change((draft) => draft.body.insert(n, String.fromCharCode(97 + (n % 26))));
        doc.commit();
      }
      await doc.saved(doc.change((draft) => draft.body.insert(999, "!")));
    });
    assert.equal(await ann.evaluate(() => globalThis.doc.status.pending), 1_000);
    const before = line.carried.up;
    const turns = await ann.evaluate(async () => {
      const { client, doc } = globalThis;
      // A turn ends where the client speaks after it has heard something.
      let [turns, wasIn] = [0, true];
      client.watchFrames(({ direction }) => {
        if (direction === "out" && wasIn && doc.status.pending > 0) turns += 1;
        wasIn = direction === "in";
      });
      client.goOnline();
      await new Promise<void>((resolve) => doc.subscribe(({ status }) => void (status.pending === 0 && resolve())));
      return turns;
    });
    await synced(ann);
    assert.equal(turns, 1);
    // The upgrade of the connection counts too.
    const up = line.carried.up - before;
    console.log(`1,000 edits made offline: ${up} bytes up`);
    assert.ok(up <= 10_000, `${up} bytes`);
  } finally {
    await line.close();
  }
});
