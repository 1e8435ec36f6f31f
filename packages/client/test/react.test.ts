/** The React hooks, in React itself under Strict Mode, in pages with the real server between them. */

import assert from "node:assert/strict";
import { before } from "node:test";

import type { Page } from "playwright-core";

import type {} from "./pages/react.js";
import { joinDocument, open, synced, write } from "./support/browser.js";
import { bundle } from "./support/bundle.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();
let script: string;

before(async () => {
  script = await bundle("react");
});

async function rendered(name: string): Promise<Page> {
  const page = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(page, stage.server.url, { name });
  await synced(page);
  await page.addScriptTag({ content: script });
  await page.evaluate(() => globalThis.show());
  await page.locator("main").waitFor();
  return page;
}

async function counts(page: Page, count: number): Promise<void> {
  await page.locator(".count", { hasText: String(count) }).waitFor();
}

test("a value is rendered when it changes and not otherwise, whoever changed it, and a field keeps its caret", async () => {
  const [ann, bob] = [await rendered("react/value"), await rendered("react/value")];
  await write(ann, "milk");
  await counts(bob, 1);
  await ann.getByRole("textbox").fill("bread");
  await bob.waitForFunction(() => document.querySelector("input")?.value === "bread");
  // A controlled field that is rendered after its event loses the caret to the end.
  await ann.getByRole("textbox").evaluate((field: HTMLInputElement) => {
    field.focus();
    field.setSelectionRange(1, 1);
  });
  await ann.keyboard.type("oa");
  assert.deepEqual(await ann.getByRole("textbox").evaluate((field: HTMLInputElement) => [field.value, field.selectionStart]), ["boaread", 3]);
  await bob.waitForFunction(() => document.querySelector("input")?.value === "boaread");
  await Promise.all([ann, bob].map(synced));
  const renders = await ann.evaluate(async () => {
    const { renders } = globalThis.seen;
    // Statuses that say the same are told whenever something has moved.
    for (let n = 0; n < 20; n += 1) void globalThis.client.status, globalThis.doc.status;
    await new Promise(requestAnimationFrame);
    return globalThis.seen.renders - renders;
  });
  assert.equal(renders, 0);
});

test("status and presence follow, and what is unmounted hears nothing more", async () => {
  const [ann, bob] = [await rendered("react/status"), await rendered("react/status")];
  await ann.getByRole("status").filter({ hasText: "connected 0" }).waitFor();
  await ann.evaluate(() => globalThis.client.goOffline());
  await write(ann, "alone");
  await ann.getByRole("status").filter({ hasText: "apart 1" }).waitFor();
  await ann.evaluate(() => globalThis.client.goOnline());
  await ann.getByRole("status").filter({ hasText: "connected 0" }).waitFor();
  await ann.getByRole("button", { name: "say" }).click();
  await bob.getByRole("listitem").filter({ hasText: "Ann" }).waitFor();
  await bob.evaluate(() => globalThis.hide());
  const renders = await bob.evaluate(() => globalThis.seen.renders);
  await write(ann, "more");
  await bob.waitForFunction(() => globalThis.doc.value.notes.length === 2);
  assert.equal(await bob.evaluate(() => globalThis.seen.renders), renders);
});

test("an edit that comes while a slow render is under way tears nothing", async () => {
  const page = await rendered("react/slow");
  await page.evaluate(async () => {
    [...document.querySelectorAll("button")].find((button) => button.textContent === "slow")?.click();
    // While the transition renders in slices.
    for (let n = 0; n < 20; n += 1) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      globalThis.doc.change((d) => d.notes.push({ title: String(n), done: false }));
    }
  });
  await page.waitForFunction(() => document.querySelectorAll('[data-length="20"]').length === 60);
  await counts(page, 20);
  assert.equal(await page.evaluate(() => globalThis.seen.torn), 0);
});
