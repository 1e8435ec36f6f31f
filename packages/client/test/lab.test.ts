/** The page "Conflict lab", as its visitor uses it: each scene by its button, what the inboxes say, settled, undone, and answered by rules. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import type { Locator, Page } from "playwright-core";

import { Chromium } from "./support/browser.js";
import { SyncServer } from "./support/server.js";

const SERVE = fileURLToPath(new URL("../../../examples/serve.mjs", import.meta.url));
const AXE = fileURLToPath(new URL("../node_modules/axe-core/axe.min.js", import.meta.url));
/** Where pictures of the page go, to be looked at. */
const PICTURES = fileURLToPath(new URL("./pictures/", import.meta.url));

type Axe = { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };

let chromium: Chromium;
let server: SyncServer;
let site: ChildProcess;
let origin: string;

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
  server = await SyncServer.start(origin, "--read-only", "archive/**");
  await serve(new URL(origin).port, server.url);
  chromium = await Chromium.start();
});

after(async () => {
  await chromium?.remove();
  await server?.remove();
  await stop();
});

function person(page: Page, name: string): Locator {
  return page.getByRole("region", { name, exact: true });
}

/** The lab as somebody finds it who has never been there. */
async function visit(): Promise<Page> {
  const page = await (await chromium.context()).newPage();
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => {
    throw error;
  });
  await page.setViewportSize({ width: 1360, height: 900 });
  await page.goto(`${origin}/conflicts/?pace=0`);
  for (const name of ["Ann", "Bo", "Cleo"]) await person(page, name).getByRole("row", { name: "Eli" }).waitFor();
  return page;
}

async function play(page: Page, scene: string): Promise<void> {
  await page.getByRole("button", { name: scene }).click();
  await page.getByRole("button", { name: scene, disabled: false }).waitFor();
}

/** Waits until each of these people has the card. */
async function seen(page: Page, card: string, names = ["Ann", "Bo", "Cleo"]): Promise<Locator> {
  for (const name of names) await person(page, name).getByRole("listitem", { name: card }).waitFor();
  return person(page, names[0] as string).getByRole("listitem", { name: card });
}

async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: `${PICTURES}lab-${name}.png`, fullPage: true });
}

test("two counts: each side is shown with who and when on every device, settled by a key, and undone", async () => {
  const page = await visit();
  await picture(page, "empty");
  await play(page, "Same field");
  const card = await seen(page, "Apples · on shelf: Two answers");
  assert.match((await card.textContent()) ?? "", /Ann and Bo changed this|Bo and Ann changed this/);
  assert.match((await card.textContent()) ?? "", /Before10/);
  await picture(page, "same-field");
  const shelves = page.getByRole("row", { name: "Apples" }).getByLabel("On shelf");
  const before = await shelves.first().inputValue();
  const hidden = before === "7" ? "12" : "7";
  await card.getByRole("button", { name: "Add a note" }).click();
  await card.getByRole("textbox").fill("counted again");
  await card.getByRole("listitem").filter({ hasText: hidden }).getByRole("button").click();
  for (const name of ["Ann", "Bo", "Cleo"]) {
    const pane = person(page, name);
    await pane.getByRole("button", { name: "No conflicts" }).waitFor();
    assert.equal(await pane.getByRole("row", { name: "Apples" }).getByLabel("On shelf").inputValue(), hidden);
  }
  await person(page, "Cleo").getByText("1 earlier").click();
  await person(page, "Cleo").getByText("counted again").waitFor();
  await picture(page, "settled");
  await person(page, "Cleo").getByRole("button", { name: "Undo this decision" }).click();
  await seen(page, "Apples · on shelf: Two answers");
  await page.context().close();
});

test("each scene makes its conflict, and the page is for everybody, light and dark, wide and on a phone", async () => {
  const page = await visit();
  const scenes: [string, string, string[]?][] = [
    ["Removed and changed", "Dee’s order: Removed and changed"],
    ["Counted and overwritten", "Apples · sold: Counted and overwritten"],
    ["Made twice", "Plums: Made twice"],
    ["Paid or shipped", "Eli’s order · status: Two answers"],
    ["Refused by the server", "Last year’s note: Refused by the server", ["Ann"]],
  ];
  for (const [scene, card, names] of scenes) {
    await play(page, scene);
    await seen(page, card, names);
  }
  await page.addScriptTag({ path: AXE });
  for (const [scheme, width] of [["light", 1360], ["dark", 1360], ["light", 390], ["dark", 390]] as const) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: 844 });
    const faults = await page.evaluate(async () => (await (globalThis as unknown as { axe: Axe }).axe.run()).violations.map(({ id, nodes }) => `${id} ${nodes.map(({ html }) => html.slice(0, 160)).join(" | ")}`));
    assert.deepEqual(faults, [], `${scheme} ${width}`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing sticks out");
    await picture(page, `all-${scheme}-${width}`);
  }
  await page.setViewportSize({ width: 1360, height: 900 });
  const refused = person(page, "Ann").getByRole("listitem", { name: "Last year’s note: Refused by the server" });
  await refused.getByRole("button", { name: "Discard" }).click();
  await refused.waitFor({ state: "detached" });
  await page.context().close();
});

test("a rule that is picked answers on every side at once, and is taken away again", async () => {
  const page = await visit();
  await play(page, "Same field");
  await seen(page, "Apples · on shelf: Two answers");
  const shelves = page.getByRole("row", { name: "Apples" }).getByLabel("On shelf");
  const rules: [string, string][] = [
    ["Add up the differences", "9"],
    ["The larger count", "12"],
    ["The smaller count", "7"],
    ["The smaller step (a rule of this page)", "12"],
  ];
  for (const [rule, answer] of rules) {
    await page.getByRole("combobox", { name: "On shelf" }).selectOption(rule);
    for (const shelf of await shelves.all()) await page.waitForFunction(([shelf, answer]) => (shelf as HTMLInputElement).value === answer, [await shelf.elementHandle(), answer] as const);
    for (const name of ["Ann", "Bo", "Cleo"]) await person(page, name).getByRole("button", { name: "No conflicts" }).waitFor();
  }
  await picture(page, "rule");
  await page.getByRole("combobox", { name: "On shelf" }).selectOption("People decide");
  await person(page, "Bo").getByRole("button", { name: "1 conflict" }).waitFor();
  await page.context().close();
});
