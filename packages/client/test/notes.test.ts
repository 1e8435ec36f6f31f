/** The page "Offline notes", as its reader uses it. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import type { Locator, Page } from "playwright-core";

import { Chromium } from "./support/browser.js";
import { SyncServer } from "./support/server.js";

const SERVE = fileURLToPath(new URL("../../../examples/offline-notes/serve.mjs", import.meta.url));
/** Where pictures of the page go, to be looked at. */
const PICTURES = fileURLToPath(new URL("./pictures/", import.meta.url));

let chromium: Chromium;
let server: SyncServer;
let site: ChildProcess;
let origin: string;

/** Serves the page; gives its address. */
async function serve(port: string, sync: string): Promise<string> {
  site = spawn(process.execPath, [SERVE, port, sync], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(createInterface({ input: site.stdout as NodeJS.ReadableStream }), "line")) as [string];
  return line;
}

async function stop(): Promise<void> {
  if (!site || site.exitCode !== null || site.signalCode !== null) return;
  const ended = once(site, "exit");
  site.kill();
  await ended;
}

before(async () => {
  await mkdir(PICTURES, { recursive: true });
  // The server must know the page's address and the page the server's: the page's comes first.
  origin = await serve("0", "ws://127.0.0.1:9/sync");
  await stop();
  server = await SyncServer.start(origin);
  await serve(new URL(origin).port, server.url);
  chromium = await Chromium.start();
});

after(async () => {
  await chromium?.remove();
  await server?.remove();
  await stop();
});

function device(page: Page, name: string): Locator {
  return page.getByRole("region", { name });
}

async function add(pane: Locator, title: string): Promise<void> {
  await pane.getByLabel("New note").fill(title);
  await pane.getByRole("button", { name: "Add" }).click();
}

/** Waits until the pane says `words`. */
async function says(pane: Locator, words: string): Promise<void> {
  await pane.getByRole("status").filter({ hasText: words }).waitFor();
}

/** Waits until the pane shows `count` notes; gives their titles. */
async function notes(pane: Locator, count: number): Promise<string[]> {
  await pane.locator(".note").nth(count - 1).waitFor();
  return pane.locator(".note .title").evaluateAll((fields) => fields.map((field) => (field as HTMLInputElement).value).toSorted());
}

test("two devices write while one has no network, and heal; the page opens again without its web server", async () => {
  const context = await chromium.context();
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.setViewportSize({ width: 1200, height: 760 });
  await page.goto(origin);
  const [ann, bo] = [device(page, "Ann’s laptop"), device(page, "Bo’s phone")];
  await says(ann, "Saved on the server");
  await page.screenshot({ path: `${PICTURES}empty.png` });

  await add(ann, "Buy milk");
  assert.deepEqual(await notes(bo, 1), ["Buy milk"]);
  await bo.getByRole("switch").click();
  await add(bo, "Call the dentist");
  await add(bo, "Water the plants");
  await bo.getByLabel("Text").first().fill("two litres");
  await ann.getByLabel("Title").first().fill("Buy milk and bread");
  await says(bo, "Saved on this device · 3 changes waiting");
  await says(ann, "Saved on the server");
  await page.screenshot({ path: `${PICTURES}apart.png` });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: `${PICTURES}apart-dark.png` });
  await page.emulateMedia({ colorScheme: "light" });

  await bo.getByRole("switch").click();
  await says(bo, "Saved on the server");
  await page.screenshot({ path: `${PICTURES}healed.png` });
  for (const pane of [ann, bo]) {
    assert.deepEqual(await notes(pane, 3), ["Buy milk and bread", "Call the dentist", "Water the plants"]);
    assert.equal(await pane.getByLabel("Text").first().inputValue(), "two litres");
  }

  // The second visit is the first that the service worker serves in full.
  await page.reload();
  await says(ann, "Saved on the server");
  await page.waitForFunction(async () => (await caches.match("/client/wasm/rejoin_bg.wasm")) !== undefined);
  await stop();
  await server.kill();
  await page.reload();
  await says(ann, "Saved on this device");
  assert.equal((await notes(bo, 3)).length, 3);
  await page.setViewportSize({ width: 390, height: 844 });
  await page.screenshot({ path: `${PICTURES}phone.png` });
  assert.deepEqual(errors, []);
});
