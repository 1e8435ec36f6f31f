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

/** Waits until the row of a table shows this in a field on every side, or until none has the row. */
async function shows(page: Page, row: string, field: string, wanted: string | undefined): Promise<void> {
  const held = ([row, field]: readonly [string, string]) =>
    [...document.querySelectorAll(".lab .pane")].map((pane) => {
      const found = [...pane.querySelectorAll("tbody tr")].find((element) => element.querySelector(".name")?.textContent === row);
      return found?.querySelector<HTMLInputElement>(field)?.value;
    });
  await page
    .waitForFunction(`(${held})(${JSON.stringify([row, field])}).every((value) => value === ${JSON.stringify(wanted)})`)
    .catch(async () => assert.deepEqual(await page.evaluate(held, [row, field] as const), [wanted, wanted, wanted]));
}

/** Picks a rule for a field, and waits until nobody has anything to decide. */
async function rule(page: Page, field: string, words: string): Promise<void> {
  await page.locator("#rules").getByRole("combobox", { name: field }).selectOption(words);
  for (const name of ["Ann", "Bo", "Cleo"]) await person(page, name).getByRole("button", { name: "No conflicts" }).waitFor();
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
    ["Two links", "Notice at the door: Two links"],
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

test("two links: the hidden one is picked by its key on every side, taken back, and still so when the page is loaded again", async () => {
  const page = await visit();
  await play(page, "Two links");
  let card = await seen(page, "Notice at the door: Two links");
  assert.match((await card.textContent()) ?? "", /(Ann and Bo|Bo and Ann) linked “our prices” to different places\./);
  await demo.pictures(page, "lab-links");
  await card.screenshot({ path: `${demo.folder}/lab-links-card.png` });
  await page.setViewportSize({ width: 1360, height: 900 });
  const links = page.locator(".door a");
  const leads = async (to: string | null) => {
    await page.waitForFunction((to) => [...document.querySelectorAll(".door")].every((notice) => (notice.querySelector("a")?.getAttribute("href") ?? null) === to), to);
  };
  const first = await links.first().getAttribute("href");
  await leads(first);
  const hidden = `https://shop.example/${first?.endsWith("spring") ? "summer" : "spring"}`;
  await card.focus();
  await page.keyboard.press("2");
  await leads(hidden);
  await page.keyboard.press("u");
  card = await seen(page, "Notice at the door: Two links");
  await page.reload();
  card = await seen(page, "Notice at the door: Two links");
  await leads(hidden);
  await card.getByRole("button", { name: "No link" }).click();
  await leads(null);
  for (const name of ["Ann", "Bo", "Cleo"]) await person(page, name).getByText("1 earlier").waitFor();
  await person(page, "Cleo").getByText("1 earlier").click();
  await person(page, "Cleo").getByText(/^Ann decided: no link · just now$/).waitFor();
  await page.context().close();
});

test("a rule that is picked answers on every side at once, and is taken away again", async () => {
  const page = await visit();
  await play(page, "Same field");
  await seen(page, "Apples · on shelf: Two answers");
  const shelves = page.getByRole("row", { name: "Apples" }).getByLabel("On shelf");
  const rules: [string, string][] = [
    ["Add up the differences", "9"],
    ["The larger number", "12"],
    ["The smaller number", "7"],
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

test("each field of the sheet has its rules, and so have whole rows", async () => {
  const page = await visit();
  await play(page, "Counted and overwritten");
  await seen(page, "Apples · sold: Counted and overwritten");
  for (const [words, sold] of [["Add up the differences", "3"], ["The larger number", "8"], ["The smaller number", "0"]] as const) {
    await rule(page, "Sold", words);
    await shows(page, "Apples", ".sold", sold);
  }
  await play(page, "Paid or shipped");
  await seen(page, "Eli’s order · status: Two answers");
  for (const [words, status] of [["Whichever is further on", "shipped"], ["As it was before", "draft"]] as const) {
    await rule(page, "Status", words);
    await shows(page, "Eli", "select", status);
  }
  await play(page, "Removed and changed");
  await seen(page, "Dee’s order: Removed and changed");
  await rule(page, "Whole order", "As it was before");
  await shows(page, "Dee", ".number", "2");
  // What only a rule shows can't be edited: the document does not have it.
  const row = person(page, "Cleo").getByRole("row", { name: "Dee by rule" });
  assert.ok(await row.getByLabel("Pieces").isDisabled());
  await demo.pictures(page, "lab-rules");
  await play(page, "Made twice");
  await seen(page, "Plums: Made twice");
  await rule(page, "Whole item", "As it was before");
  await shows(page, "Plums", ".number", undefined);
  // Whose clock said what is chance here, where nothing takes time.
  const counts = new Set<string>();
  for (const words of ["The later change", "The earlier change"]) {
    await rule(page, "Whole item", words);
    const plums = person(page, "Ann").getByRole("row", { name: "Plums" }).getByLabel("On shelf");
    await plums.waitFor();
    counts.add(await plums.inputValue());
    await shows(page, "Plums", ".number", await plums.inputValue());
  }
  assert.deepEqual([...counts].toSorted(), ["4", "9"]);
  await page.context().close();
});

test("two who write a number of pieces are answered by the rule for it", async () => {
  const page = await visit();
  const switches = ["Ann", "Bo"].map((name) => person(page, name).getByRole("switch", { name: "Network" }));
  for (const network of switches) await network.uncheck();
  for (const [name, pieces] of [["Ann", "7"], ["Bo", "4"]] as const) {
    const field = person(page, name).getByRole("row", { name: "Eli" }).getByLabel("Pieces");
    await field.fill(pieces);
    await field.press("Enter");
  }
  for (const network of switches) await network.check();
  await seen(page, "Eli’s order · pieces: Two answers");
  for (const [words, pieces] of [["Add up the differences", "6"], ["The larger number", "7"], ["The smaller number", "4"]] as const) {
    await rule(page, "Pieces", words);
    await shows(page, "Eli", ".number", pieces);
  }
  await page.context().close();
});

test("the page is found by the door, and at the addresses that somebody may guess", async () => {
  const page = await demo.page("/");
  await page.getByRole("link", { name: "Conflict lab" }).click();
  await page.waitForURL("**/conflicts/");
  for (const path of ["/lab", "/lab/", "/conflict-lab", "/conflicts"]) {
    const answer = await page.goto(demo.origin + path);
    assert.deepEqual([answer?.status(), new URL(page.url()).pathname], [200, "/conflicts/"], path);
  }
  await page.context().close();
});
