/** A copy of a document in the engine's memory that proved damaged, as an application and its user meet it: what is told, and that all goes on. */

import assert from "node:assert/strict";

import type { Page } from "playwright-core";

import { inWorkers, joinDocument, load, loaded, open, synced, titles, write } from "./support/browser.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

/** The next edit that comes to the engine finds its document damaged. */
const DAMAGED = `{
  const instantiate = WebAssembly.instantiateStreaming;
  WebAssembly.instantiateStreaming = async (source, imports) => {
    const { instance, module } = await instantiate(source, imports);
    const exports = { ...instance.exports };
    const { replica_change, __externref_table_alloc, __wbindgen_externrefs } = exports;
    exports.replica_change = (...args) => {
      if (!globalThis.isDamaged) return replica_change(...args);
      globalThis.isDamaged = false;
      const error = __externref_table_alloc();
      __wbindgen_externrefs.set(error, Object.assign(new Error("the copy in memory is damaged"), { code: "reloading" }));
      return [0, error, 1];
    };
    return { instance: { exports }, module };
  };
}`;

/** A page with a document that is in sync, in which what is reported is kept. */
async function writer(page: Page, name: string): Promise<void> {
  await joinDocument(page, stage.server.url, { name });
  await write(page, "before");
  await synced(page);
  await page.evaluate(() => {
    const reported: unknown[] = [];
    globalThis.reportError = (error: { code?: string }) => void reported.push(error.code);
    Object.assign(globalThis, { reported });
  });
}

const reported = () => (globalThis as unknown as { reported: unknown[] }).reported;

test("an edit that finds the copy in memory damaged is told as reloading, with what was edited on top of it; nothing else is lost, and editing goes on", async () => {
  const context = await stage.chromium.context();
  await inWorkers(context, stage.site.origin, DAMAGED);
  const page = await open(context, stage.site.origin);
  await writer(page, "notes/damaged");
  await page.workers()[0]?.evaluate(() => void Object.assign(globalThis, { isDamaged: true }));
  const told = await page.evaluate(async () => {
    const { doc } = globalThis;
    const [first, second] = ["lost", "on top"].map((title) => doc.change((draft) => draft.notes.push({ title, done: false })));
    const codes = [first, first, second].map((edit, index) => (index === 1 ? doc.acknowledged(edit as never) : doc.saved(edit as never)).then(() => "none", ({ code }) => code));
    return { codes: await Promise.all(codes), titles: doc.value.notes.map(({ title }) => title), outbox: doc.outbox, unsaved: doc.status.unsaved };
  });
  assert.deepEqual(told, { codes: ["reloading", "reloading", "refused"], titles: ["before"], outbox: [], unsaved: 0 });
  assert.deepEqual(await page.evaluate(reported), ["reloading", "refused"]);
  await write(page, "after");
  await synced(page);
  await load(page, stage.site.origin);
  await joinDocument(page, stage.server.url, { name: "notes/damaged", offline: true });
  await loaded(page);
  await titles(page, "before", "after");
});
