/** The page "Conflict lab", as its visitor uses it: each scene by its button, what the inboxes say, settled, undone, and answered by rules. */

import assert from "node:assert/strict";
import { after, before } from "node:test";

import type { Locator, Page } from "playwright-core";

import { Demo } from "./support/demo.js";
import { test } from "./timed.js";

const demo = new Demo();

before(() => demo.start());
after(() => demo.stop());

function person(page: Page, name: string): Locator {
  return page.getByRole("region", { name, exact: true });
}

/** The lab as somebody finds it who has never been there. */
async function visit(): Promise<Page> {
  const page = await demo.page("/conflicts/?pace=0");
  await page.setViewportSize({ width: 1360, height: 900 });
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
  await page.screenshot({ path: `${demo.folder}/lab-${name}.png`, fullPage: true });
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
  const sides = await card.getByRole("listitem").allTextContents();
  const key = String(sides.findIndex((side) => side.includes(hidden)) + 1);
  // What is typed in the note is no answer; on the card the key is.
  await page.keyboard.press(key);
  assert.equal(await card.getByRole("textbox").inputValue(), `counted again${key}`);
  await card.getByRole("textbox").fill("counted again");
  await page.keyboard.press("Escape");
  await page.keyboard.press(key);
  for (const name of ["Ann", "Bo", "Cleo"]) {
    const pane = person(page, name);
    await pane.getByRole("button", { name: "No conflicts" }).waitFor();
    assert.equal(await pane.getByRole("row", { name: "Apples" }).getByLabel("On shelf").inputValue(), hidden);
  }
  await person(page, "Cleo").getByText("1 earlier").click();
  await person(page, "Cleo").getByText("counted again").waitFor();
  await person(page, "Cleo").getByText(/^Ann decided: \d+ · just now$/).waitFor();
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
  await demo.pictures(page, "lab-all");
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing sticks out");
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
