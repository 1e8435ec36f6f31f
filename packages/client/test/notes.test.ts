/** The page "Offline notes" and the front door before it, as their reader uses them. Leaves pictures of each state, to be looked at. */

import assert from "node:assert/strict";
import { after, before } from "node:test";

import { Demo } from "./support/demo.js";
import { add, both, bothWith, device, notes, says, texts } from "./support/notebook.js";
import { test } from "./timed.js";

const demo = new Demo();

before(() => demo.start());
after(() => demo.stop());

test("two devices write while one has no network, and heal: changes wait as marks, travel, and are saved", async () => {
  const { page, ann, bo } = await both(demo);
  await demo.pictures(page, "empty");
  await add(ann, "Buy milk");
  assert.deepEqual(await notes(bo, 1), ["Buy milk"]);
  await bo.getByRole("switch").click();
  await add(bo, "Call the dentist");
  await add(bo, "Water the plants");
  await texts(bo).first().fill("two litres");
  await ann.getByLabel("Title").first().fill("Buy milk and bread");
  await says(bo, "Saved on this device · 3 changes waiting");
  assert.equal(await bo.locator(".marks i.waiting").count(), 3);
  await says(ann, "Saved on the server");
  await demo.pictures(page, "apart");

  await page.evaluate(() => {
    const seen = { marks: 0 };
    (globalThis as unknown as { travelled: typeof seen }).travelled = seen;
    new MutationObserver((records) => {
      for (const { addedNodes } of records) for (const node of addedNodes) if ((node as Element).className?.startsWith?.("mark-travels")) seen.marks += 1;
    }).observe(document.body, { childList: true });
  });
  await bo.getByRole("switch").click();
  await says(bo, "Saved on the server");
  await page.screenshot({ path: `${demo.folder}/healing.png` });
  for (const pane of [ann, bo]) {
    assert.deepEqual(await notes(pane, 3), ["Buy milk and bread", "Call the dentist", "Water the plants"]);
    await texts(pane).first().getByText("two litres", { exact: true }).waitFor();
  }
  // Three to the server, and at least one from there to each device.
  await page.waitForFunction(() => (globalThis as unknown as { travelled: { marks: number } }).travelled.marks >= 5);
  await page.locator(".mark-travels").first().waitFor({ state: "detached" });
  await demo.pictures(page, "healed");
});

test("steps are ticked off, hearts add up from both sides, undo brings a note back", async () => {
  const { ann, bo } = await bothWith(demo, "Trip");
  await ann.getByLabel("New step").fill("Pack");
  await ann.getByLabel("New step").press("Enter");
  await bo.getByRole("checkbox", { name: "Step done: Pack" }).check();
  await ann.locator(".task .tick:checked").waitFor();
  await ann.getByRole("switch").click();
  for (const pane of [ann, bo]) for (let n = 0; n < 2; n += 1) await pane.getByRole("button", { name: "One more heart" }).click();
  await ann.getByRole("switch").click();
  for (const pane of [ann, bo]) await pane.getByRole("button", { name: "One more heart. 4 so far" }).waitFor();
  await ann.getByRole("button", { name: "Remove the note" }).click();
  await bo.locator(".note").waitFor({ state: "detached" });
  await ann.getByRole("button", { name: "Undo" }).click();
  assert.deepEqual(await notes(bo, 1), ["Trip"]);
  await bo.locator(".task .tick:checked").waitFor();
});

test("two people write in one text, and see each other's carets", async () => {
  const { page, ann, bo } = await bothWith(demo, "Letter");
  await texts(ann).click();
  await page.keyboard.type("Dear Bo, we meet on Monday.");
  await texts(bo).getByText("Dear Bo, we meet on Monday.").waitFor();
  await bo.locator('.rejoin-caret[data-name="Ann"]').waitFor();
  await ann.getByLabel("Title").click();
  await bo.locator(".held rejoin-carets .name").getByText("Ann").waitFor();
  await bo.locator('.rejoin-caret[data-name="Ann"]').waitFor({ state: "detached" });
  await texts(bo).click();
  await ann.locator('.rejoin-caret[data-name="Bo"]').waitFor();
  await demo.pictures(page, "writing");
});

test("what is inside is shown: line, clock, cursor, outbox, frames; its switch is the pane's", async () => {
  const { page, ann, bo } = await both(demo);
  await add(ann, "Seen from inside");
  await says(ann, "Saved on the server");
  await ann.getByRole("button", { name: "Look inside" }).click();
  const inside = page.getByRole("dialog", { name: "Inside Ann’s laptop" });
  await inside.getByText("leads: holds the line for all tabs").waitFor();
  await inside.getByText(/^[2-9] changes by [2-9] authors$/).waitFor();
  await inside.getByText(/^[2-9] in the server’s log$/).waitFor();
  await ann.getByLabel("Title").fill("Looked at from inside");
  await inside.locator(".frames li").filter({ hasText: "Push" }).first().waitFor();
  await inside.locator(".frames li").filter({ hasText: "Ack" }).first().waitFor();
  await inside.getByRole("switch").click();
  await inside.getByText("not connected").waitFor();
  assert.equal(await ann.getByRole("switch").isChecked(), false, "one switch shows what the other did");
  await add(ann, "Waits");
  await inside.locator(".outbox li").filter({ hasText: "saved here, waits" }).waitFor();
  await demo.pictures(page, "inside");
  await inside.getByRole("switch").click();
  await inside.getByText("Outbox: empty").waitFor();
  assert.deepEqual(await notes(bo, 2), ["Looked at from inside", "Waits"]);
  await inside.getByRole("button", { name: "End it now, as a crash would" }).click();
  await says(ann, "Something broke");
  await inside.press("Escape");
  await inside.waitFor({ state: "hidden" });
  await page.reload();
  assert.deepEqual(await notes(ann, 2), ["Looked at from inside", "Waits"]);
});

test("a note removed by one while the other writes in it is told of on both sides, and kept by a word", async () => {
  const { page, ann, bo } = await bothWith(demo, "Plan");
  await bo.getByRole("switch").click();
  await texts(bo).fill("meet at nine");
  await says(bo, "Saved on this device · 1 change waiting");
  await ann.getByRole("button", { name: "Remove the note" }).click();
  await says(ann, "Saved on the server");
  await bo.getByRole("switch").click();
  for (const pane of [ann, bo]) {
    await pane.locator(".note").waitFor({ state: "detached" });
    await pane.getByText("Ann removed this while Bo changed it.").waitFor();
    // Keys have the page's names, and the id, which has none, is not shown.
    assert.deepEqual(await pane.locator(".base dt").allTextContents(), ["text", "done", "hearts", "steps", "title"]);
  }
  await demo.pictures(page, "disputed");
  await bo.getByRole("button", { name: "Keep this: Bo" }).click();
  for (const pane of [ann, bo]) {
    assert.deepEqual(await notes(pane, 1), ["Plan"]);
    await texts(pane).getByText("meet at nine", { exact: true }).waitFor();
  }
});

test("versions are listed with what was different then, and one is brought back", async () => {
  const { page, ann, bo } = await both(demo);
  await add(ann, "First");
  await says(ann, "Saved on the server");
  await add(bo, "Second");
  await says(bo, "Saved on the server");
  await notes(ann, 2);
  for (let left = 1; left >= 0; left -= 1) {
    await ann.getByRole("button", { name: "Remove the note" }).first().click();
    await ann.locator(".note").nth(left).waitFor({ state: "detached" });
  }
  await ann.getByRole("button", { name: "Versions" }).click();
  const drawer = page.getByRole("dialog", { name: "Versions on Ann’s laptop" });
  // Two notes and two removals; the last is how it is now.
  await drawer.getByText("4 versions kept.").waitFor();
  await drawer.getByText(/ · Bo$/).waitFor();
  const second = drawer.locator(".version").nth(1);
  await second.locator("summary").click();
  await second.getByText("2 notes then; 1 difference to now.").waitFor();
  await demo.pictures(page, "versions");
  await second.getByRole("button", { name: "Bring it back" }).click();
  for (const pane of [ann, bo]) assert.deepEqual(await notes(pane, 2), ["First", "Second"]);
  await drawer.getByText("5 versions kept.").waitFor();
  await ann.getByRole("button", { name: "Undo" }).click();
  for (const pane of [ann, bo]) await pane.locator(".note").first().waitFor({ state: "detached" });
});

/** Waits until the value that Ann's device keeps for the next time has a note of this title. */
async function keptView(title: string): Promise<void> {
  const done = <T>(request: IDBRequest<T>) => new Promise<T>((resolve, reject) => Object.assign(request, { onsuccess: () => resolve(request.result), onerror: () => reject(request.error) }));
  const database = await done(indexedDB.open("rejoin:ann:views"));
  const views = () => done(database.transaction("view").objectStore("view").getAll());
  while (!JSON.stringify(await views()).includes(title)) await new Promise((resolve) => setTimeout(resolve, 50));
  database.close();
}

test("notes seen before are there before the engine is, and what is written meanwhile is kept", async () => {
  // A page without the service worker, so that the engine can be held up on its way.
  const page = await demo.page("/notes/", { first: () => Object.defineProperty(Navigator.prototype, "serviceWorker", { value: undefined }) });
  const ann = device(page, "Ann’s laptop");
  await says(ann, "Saved on the server");
  await add(ann, "Seen before");
  await says(ann, "Saved on the server");
  await page.evaluate(keptView, "Seen before");
  let go!: () => void;
  const gate = new Promise<void>((resolve) => (go = resolve));
  await page.context().route("**/rejoin_bg.wasm", async (route) => {
    await gate;
    await route.continue();
  });
  await page.reload();
  await says(ann, "As seen last · loading what is new");
  assert.deepEqual(await notes(ann, 1), ["Seen before"]);
  await add(ann, "Written early");
  await says(ann, "As seen last · loading what is new · 1 change waiting");
  await demo.pictures(page, "loading");
  go();
  await says(ann, "Saved on the server");
  assert.deepEqual(await notes(ann, 2), ["Seen before", "Written early"]);
});

/** Bounds what the page may keep; fills it up in a database apart. */
const ROOM = 24 << 20;
const fillUp = `async (room) => {
  const database = await new Promise((resolve, reject) => {
    const request = indexedDB.open("filler", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("filler", { autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  for (const size of [1 << 20, 64 << 10, 4 << 10, 1 << 10]) {
    for (let more = true; more; ) {
      const transaction = database.transaction("filler", "readwrite");
      const pieces = Math.max(size >> 16, 1);
      for (let piece = 0; piece < pieces; piece += 1) {
        transaction.objectStore("filler").put(crypto.getRandomValues(new Uint8Array(Math.min(size, 65_536))));
      }
      more = await new Promise((resolve) => {
        transaction.oncomplete = () => resolve(true);
        transaction.onabort = () => resolve(false);
      });
    }
  }
  database.close();
}`;

test("a full device says so, keeps what is in memory, and saves it when there is room", async () => {
  const { page, ann } = await both(demo);
  await add(ann, "Before");
  await says(ann, "Saved on the server");
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Storage.overrideQuotaForOrigin", { origin: demo.origin, quotaSize: ROOM });
  await page.evaluate(`(${fillUp})(${ROOM})`);
  await ann.getByRole("switch").click();
  await texts(ann).fill("x".repeat(100_000));
  await says(ann, "This device is full");
  await ann.locator(".body").evaluate((body: HTMLElement) => Object.assign(body.style, { maxHeight: "4rem", overflow: "hidden" }));
  await demo.pictures(page, "full");
  await page.evaluate(() => void indexedDB.deleteDatabase("filler"));
  await says(ann, "Saved on this device · 1 change waiting");
  await ann.getByRole("switch").click();
  await says(ann, "Saved on the server");
});

test("what the server will not have stays, is told of, and goes only by its reader's word", async () => {
  const page = await demo.page("/notes/", { document: `archive/${crypto.randomUUID()}` });
  const ann = device(page, "Ann’s laptop");
  // Even the empty list.
  await says(ann, "Refused: 1 change");
  const letGo = ann.getByRole("button", { name: "Let it go" });
  await letGo.click();
  await says(ann, "Saved on the server");
  await add(ann, "Nobody may write here");
  await says(ann, "Refused: 1 change");
  await demo.pictures(page, "refused");
  await page.reload();
  // What was refused is there again, and the empty list is tried once more.
  await says(ann, "Refused: 2 changes");
  for (const left of [1, 0]) {
    await letGo.first().click();
    await letGo.nth(left).waitFor({ state: "detached" });
  }
  await says(ann, "Saved on the server");
});

test("a page that is open while a newer version takes its store asks to be loaded again", async () => {
  const { page, ann } = await both(demo);
  await says(ann, "Saved on the server");
  await page.evaluate(() => void indexedDB.open("rejoin:ann", 99));
  await says(ann, "A newer version of this page is open. Load this one again to go on");
});

test("without storage the page works, and says that it keeps nothing", async () => {
  const page = await demo.page("/notes/", { first: () => {
    // A worker has a global of its own, which this does not reach: the engine runs in the page.
    Object.defineProperty(globalThis, "Worker", { value: undefined });
    Object.defineProperty(globalThis, "indexedDB", { value: undefined });
  } });
  const ann = device(page, "Ann’s laptop");
  await ann.getByText("This browser keeps nothing for this page").waitFor();
  await add(ann, "In memory");
  await says(ann, "Saved on the server");
  await demo.pictures(page, "memory");
});

test("the pages open without their web server, show what waits, and offer a new version when it is back", async () => {
  const { page, ann, bo } = await bothWith(demo, "Kept");
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.reload();
  await demo.stopServing();
  await demo.server.kill();
  await page.reload();
  await says(ann, "Saved on this device");
  assert.deepEqual(await notes(bo, 1), ["Kept"]);
  await add(bo, "Written alone");
  await says(bo, "Saved on this device · 1 change waiting");
  await demo.pictures(page, "offline");
  await page.goto(demo.origin);
  await page.getByRole("heading", { name: "Offline notes" }).waitFor();

  await demo.server.start();
  await demo.serve("another");
  await page.goto(`${demo.origin}/notes/`);
  await says(bo, "Saved on the server");
  await page.evaluate(async () => void (await (await navigator.serviceWorker.ready).update()));
  await page.getByText("A new version is ready").waitFor();
  await demo.pictures(page, "update");
  await Promise.all([page.waitForEvent("load"), page.getByRole("button", { name: "Load it" }).click()]);
  await says(bo, "Saved on the server");
  assert.equal(await page.getByText("A new version is ready").count(), 0);
  assert.deepEqual(await notes(bo, 2), ["Kept", "Written alone"]);
});

test("the notes can be installed as an application, as the browser itself judges", async () => {
  // In a profile: nothing can be installed from a browser that forgets.
  const page = await demo.chromium.profile.newPage();
  await page.goto(`${demo.origin}/notes/`);
  await says(device(page, "Ann’s laptop"), "Saved on the server");
  await page.evaluate(() => navigator.serviceWorker.ready.then(({ active }) => active?.state));
  const devtools = await page.context().newCDPSession(page);
  const { url, data, errors } = await devtools.send("Page.getAppManifest");
  assert.deepEqual([url, errors], [`${demo.origin}/notes/manifest.webmanifest`, []]);
  const { installabilityErrors } = await devtools.send("Page.getInstallabilityErrors");
  assert.deepEqual(installabilityErrors, []);
  assert.equal((await devtools.send("Page.getAppId")).appId, `${demo.origin}/notes/`);
  const { start_url, display, icons } = JSON.parse(data ?? "{}") as { start_url: string; display: string; icons: { src: string; sizes: string; type: string }[] };
  assert.deepEqual([start_url, display], ["/notes/", "standalone"]);
  for (const { src, sizes, type } of icons) {
    const shown = await page.evaluate(async ({ src, type }) => {
      const image = new Image();
      image.src = src;
      await image.decode();
      return { type: (await fetch(src)).headers.get("content-type") === type, size: `${image.naturalWidth}x${image.naturalHeight}` };
    }, { src, type });
    assert.deepEqual(shown, { type: true, size: sizes === "any" ? shown.size : sizes }, src);
  }
  await page.close();
});

test("the front door leads to the notes", async () => {
  const page = await demo.page("/");
  await demo.pictures(page, "door");
  await page.getByRole("link", { name: "Offline notes" }).click();
  await says(device(page, "Ann’s laptop"), "Saved on the server");
});
