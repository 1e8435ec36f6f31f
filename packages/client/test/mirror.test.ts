/** Documents in a worker, and what a page has of them: before the engine is there, beside other writers, and when the worker is gone. */

import assert from "node:assert/strict";

import type { BrowserContext, Page } from "playwright-core";

import { inWorkers, joinDocument, load, loaded, open, synced, titles, value, write } from "./support/browser.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

/** An engine starts only when no page holds it back. */
const HELD = `
  const instantiate = WebAssembly.instantiateStreaming;
  WebAssembly.instantiateStreaming = async (...args) => { await navigator.locks.request("engine", () => {}); return instantiate(...args); };
`;

/** Holds back what starts from now on until it is let go. */
async function hold(page: Page): Promise<void> {
  await page.evaluate(
    () => new Promise<void>((held) => navigator.locks.request("engine", () => new Promise<void>((go) => held(void Object.assign(globalThis, { go }))))),
  );
}

async function letGo(page: Page): Promise<void> {
  await page.evaluate(() => (globalThis as unknown as { go: () => void }).go());
}

/** Writes anywhere, again and again, while the other does. */
async function scribble(page: Page, seed: number): Promise<void> {
  await page.evaluate(async (start) => {
    let seed = start;
    const next = (below: number) => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const texts = ["a", "bb", "😀", "é😀z", ""];
    for (let n = 0; n < 200; n += 1) {
      globalThis.doc.change((draft) => {
        const { notes, body } = draft;
        const dice = next(10);
        const at = next(body.length + 1);
        if (dice < 4) body.splice(at, Math.min(next(3), body.length - at), texts[next(5)]);
        else if (dice === 4) notes.splice(next(notes.length + 1), 0, { title: `n${next(100)}`, done: false });
        else if (dice === 5 && notes.length > 3) notes.splice(next(notes.length), 1);
        else if (dice === 6 && notes.length > 0) notes[next(notes.length)]!.title += "!";
        else if (dice > 7 && at < body.length) {
          const [to, name] = [Math.min(at + 1 + next(8), body.length), ["bold", "link", "odd"][next(3)]!];
          if (next(3) === 0) body.unmark(at, to, name);
          else body.mark(at, to, name, next(2), name === "odd" ? { expand: "both" } : {});
        } else draft.left.increment(next(3));
      });
      if (n % 4 === 0) await new Promise((resolve) => setTimeout(resolve, next(12)));
    }
  }, seed);
}

test("what two pages show while both write and mark everywhere is what the engine has, character by character", async () => {
  const name = "mirror/scribble";
  const pages: Page[] = [];
  for (let n = 0; n < 2; n += 1) {
    const page = await open(await stage.chromium.context(), stage.site.origin);
    await joinDocument(page, stage.server.url, { name });
    pages.push(page);
  }
  await Promise.all(pages.map((page, index) => scribble(page, index + 1)));
  const ends = ["end of Ann's", "end of Bob's"];
  for (const [index, page] of pages.entries()) await write(page, ends[index] as string);
  const [ann] = pages as [Page, Page];
  // Read from the engine, by one that has edited nothing.
  const fresh = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(fresh, stage.server.url, { name });
  for (const page of [...pages, fresh]) {
    await page.waitForFunction((ends) => ends.every((end) => globalThis.doc.value.notes.some(({ title }) => title === end)), ends);
    await synced(page);
  }
  const seen = await value(ann);
  const marks = (page: Page) => page.evaluate(() => globalThis.doc.marks(["body"]));
  const marked = await marks(fresh);
  assert.ok(marked.length > 2, `${marked.length} marks`);
  for (const page of [...pages, fresh]) assert.deepEqual([await value(page), await marks(page)], [seen, marked]);
  const longest = await ann.evaluate(async () => (await globalThis.doc.history).length);
  assert.ok(longest < 400, `${longest} changes: typing in one text is one change for a burst`);
});

/** A page that has seen the document before, loaded again with its engine held back. */
async function seenBefore(context: BrowserContext, name: string): Promise<Page> {
  const page = await open(context, stage.site.origin);
  await joinDocument(page, stage.server.url, { name });
  await write(page, "seen before");
  await synced(page);
  await page.evaluate(() => globalThis.client.close());
  return page;
}

test("a document is readable before the engine has loaded, takes edits, and says that they are not saved", async () => {
  const name = "mirror/view";
  const context = await stage.chromium.context();
  const page = await seenBefore(context, name);
  const bob = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(bob, stage.server.url, { name });
  await write(bob, "by Bob meanwhile");
  await synced(bob);

  await inWorkers(context, stage.site.origin, HELD);
  await load(page, stage.site.origin);
  await hold(page);
  await joinDocument(page, stage.server.url, { name });
  await titles(page, "seen before");
  const early = await page.evaluate(() => {
    globalThis.doc.change((draft) => draft.notes.unshift({ title: "early", done: false }));
    Object.assign(globalThis, { saved: globalThis.doc.saved(globalThis.doc.change((draft) => draft.body.insert(0, "early 😀"))) });
    const { state, loading, unsaved, pending } = globalThis.doc.status;
    return { state, loading, unsaved, pending };
  });
  assert.deepEqual(early, { state: "offline", loading: true, unsaved: 2, pending: 2 });
  await letGo(page);
  await loaded(page);
  await page.evaluate(() => (globalThis as unknown as { saved: Promise<void> }).saved);
  await synced(page);
  for (const seen of [page, bob]) await titles(seen, "by Bob meanwhile", "early", "seen before");
  assert.equal(await bob.evaluate(() => globalThis.doc.value.body), "early 😀");
});

test("a worker that is ended says so, loses only what was not saved, and the page can connect again", async () => {
  const page = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(page, stage.server.url, { name: "mirror/crash" });
  await write(page, "saved");
  const codes = await page.evaluate(async () => {
    const { client, doc } = globalThis;
    const lost = doc.saved(doc.change((draft) => draft.notes.push({ title: "lost", done: false })));
    const code = (error: unknown) => (error as { code: string }).code;
    const listed = doc.conflicts.listed.catch(code);
    client.crash();
    const change = () => doc.change((draft) => void draft.left.increment());
    const thrown = (call: () => unknown) => {
      try {
        return call();
      } catch (error) {
        return code(error);
      }
    };
    const told = [await listed, await doc.conflicts.get("x").catch(code), await doc.conflicts.resolve("x", { pick: 0 }).catch(code)];
    return [await lost.catch(code), thrown(change), await doc.undo().catch(code), ...told, doc.status.state, client.status.state];
  });
  assert.deepEqual(codes, [...Array<string>(6).fill("engine-failed"), "failed", "failed"]);
  await joinDocument(page, stage.server.url, { name: "mirror/crash" });
  await titles(page, "saved");
  await synced(page);
});

test("a worker that dies by itself is noticed", async () => {
  const context = await stage.chromium.context();
  await inWorkers(context, stage.site.origin, 'new BroadcastChannel("die").onmessage = () => globalThis.close();');
  const page = await open(context, stage.site.origin);
  await joinDocument(page, stage.server.url, { name: "mirror/dead" });
  await page.evaluate(() => new BroadcastChannel("die").postMessage("now"));
  await page.waitForFunction(() => globalThis.doc.status.state === "failed");
  // Somebody looks into it, and turns its network off.
  const isOn = await page.evaluate(async () => {
    await import("/client/inspector.js" as string);
    const inspector = Object.assign(document.createElement("rejoin-inspector"), { client: globalThis.client });
    document.body.append(inspector);
    const network = inspector.shadowRoot?.querySelector("input") as HTMLInputElement;
    network.checked = true;
    network.click();
    return network.checked;
  });
  assert.ok(isOn, "nothing was turned, and nothing was thrown, which would have failed the test");
});

test("where no worker can be started the same runs in the page", async () => {
  const context = await stage.chromium.context();
  await context.addInitScript(() => Object.defineProperty(globalThis, "Worker", { value: undefined }));
  const page = await open(context, stage.site.origin);
  await joinDocument(page, stage.server.url, { name: "mirror/here" });
  await write(page, "in the page");
  await synced(page);
  await page.evaluate(() => globalThis.client.crash());
  await joinDocument(page, stage.server.url, { name: "mirror/here" });
  await titles(page, "in the page");
});
