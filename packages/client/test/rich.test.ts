/** How words look on the page "Offline notes": the bar over a text, keys, links, and what becomes of them when two people write at once. */

import assert from "node:assert/strict";
import { after, before } from "node:test";

import type { Locator, Page } from "playwright-core";

import { Demo } from "./support/demo.js";
import { add, both, bothWith, device, notes, says, texts } from "./support/notebook.js";
import { test } from "./timed.js";

const demo = new Demo();

before(() => demo.start());
after(() => demo.stop());

/** Selects in the text that has the focus. */
async function select(page: Page, from: number, to: number): Promise<void> {
  await page.keyboard.press("Control+Home");
  for (let at = 0; at < from; at += 1) await page.keyboard.press("ArrowRight");
  for (let at = from; at < to; at += 1) await page.keyboard.press("Shift+ArrowRight");
}

/** Waits until the text of each pane shows these marks: of each name, all that is marked so. */
async function marked(page: Page, panes: Locator[], wanted: Record<string, string>): Promise<void> {
  for (const pane of panes) {
    const now = () => texts(pane).evaluate((text) => {
      const shown: Record<string, string> = {};
      for (const { className, textContent } of text.querySelectorAll('[class^="rejoin-mark-"]')) {
        const name = className.replace("rejoin-mark-", "");
        shown[name] = (shown[name] ?? "") + textContent;
      }
      return shown;
    });
    const isSo = async () => JSON.stringify(Object.entries(await now()).toSorted()) === JSON.stringify(Object.entries(wanted).toSorted());
    const until = Date.now() + 20_000;
    while (!(await isSo()) && Date.now() < until) await page.evaluate(() => new Promise(requestAnimationFrame));
    assert.deepEqual(await now(), wanted);
  }
}

function button(pane: Locator, name: string, pressed: boolean): Locator {
  return pane.getByRole("button", { name, pressed, exact: true });
}

test("words are made bold and marked by the bar and by keys, on both sides at once, and the bar says what holds at the cursor", async () => {
  const { page, ann, bo } = await bothWith(demo, "Trip to the sea");
  const bar = ann.getByRole("toolbar");
  await texts(ann).waitFor();
  assert.equal(await bar.isVisible(), false, "nobody is in the text");
  await texts(ann).click();
  await page.keyboard.type("Pack the tent, not the stove.");
  await button(ann, "Bold", false).waitFor();
  await select(page, 9, 13);
  await page.keyboard.press("Control+b");
  await button(ann, "Bold", true).waitFor();
  await marked(page, [ann, bo], { bold: "tent" });
  await button(ann, "Highlighted", false).click();
  await button(ann, "Highlighted", true).waitFor();
  await marked(page, [ann, bo], { bold: "tent", highlight: "tent" });
  // The text has kept the focus and what is selected, and what is typed behind is marked too.
  await page.keyboard.press("ArrowRight");
  await page.keyboard.type("s");
  await marked(page, [ann, bo], { bold: "tents", highlight: "tents" });
  await page.keyboard.press("ArrowRight");
  await button(ann, "Bold", false).waitFor();

  for (const pane of [ann, bo]) await pane.getByRole("switch").click();
  await texts(ann).click();
  await select(page, 16, 29);
  await page.keyboard.press("Control+Shift+x");
  await texts(bo).click();
  await select(page, 20, 29);
  await page.keyboard.press("Control+i");
  await marked(page, [ann], { bold: "tents", highlight: "tents", strike: "not the stove" });
  await marked(page, [bo], { bold: "tents", highlight: "tents", italic: "the stove" });
  for (const pane of [ann, bo]) await pane.getByRole("switch").click();
  await marked(page, [ann, bo], { bold: "tents", highlight: "tents", italic: "the stove", strike: "not the stove" });
  await ann.getByRole("button", { name: "Undo" }).click();
  await marked(page, [ann, bo], { bold: "tents", highlight: "tents", italic: "the stove" });
  await ann.getByRole("button", { name: "Redo" }).click();
  await marked(page, [ann, bo], { bold: "tents", highlight: "tents", italic: "the stove", strike: "not the stove" });
  await texts(ann).click();
  await select(page, 9, 14);
  await bo.locator(".rejoin-selected").first().waitFor();
  await demo.pictures(page, "rich");
});

test("what is chosen with nothing selected is for what is typed next; the bar is reached by keys alone; all is there after a reload", async () => {
  const { page, ann, bo } = await bothWith(demo, "Party");
  await texts(ann).click();
  await page.keyboard.type("Bring ");
  await page.keyboard.press("Control+b");
  await button(ann, "Bold", true).waitFor();
  await page.keyboard.type("cups");
  await page.keyboard.press("Control+b");
  await button(ann, "Bold", false).waitFor();
  await page.keyboard.type(" and ");
  await button(ann, "Italic", false).click();
  await page.keyboard.type("juice");
  await marked(page, [ann, bo], { bold: "cups", italic: "juice" });
  await texts(bo).getByText("Bring cups and juice").waitFor();
  await select(page, 0, 5);
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await button(ann, "Struck through", true).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("End");
  await page.keyboard.type("!");
  await texts(bo).getByText("Bring cups and juice!").waitFor();
  await marked(page, [ann, bo], { bold: "cups", italic: "juice!", strike: "Bring" });
  await page.keyboard.press("Control+z");
  await texts(bo).filter({ hasText: /^Bring cups and juice$/ }).waitFor();
  // Tab leaves the text, and the bar goes with it.
  await page.keyboard.press("Tab");
  await ann.getByRole("toolbar").waitFor({ state: "hidden" });
  await says(ann, "Saved on the server");
  await page.reload();
  await marked(page, [ann, bo], { bold: "cups", italic: "juice", strike: "Bring" });
});

test("words become links, which are opened, changed and removed; two links on the same words are settled by hand", async () => {
  const { page, ann, bo } = await bothWith(demo, "Read this");
  await texts(ann).click();
  await page.keyboard.type("the manual first");
  await select(page, 5, 5);
  await page.keyboard.press("Control+k");
  const address = ann.getByLabel("Address of the link");
  await page.keyboard.type("javascript:alert(1)");
  await page.keyboard.press("Enter");
  await ann.getByText("That is no address of a page.").waitFor();
  await address.fill("example.org/manual");
  await demo.pictures(page, "rich-link");
  await page.keyboard.press("Enter");
  await address.waitFor({ state: "hidden" });
  await marked(page, [ann, bo], { link: "manual" });
  await says(ann, "Saved on the server");
  assert.equal(await texts(bo).locator(".rejoin-mark-link").getAttribute("data-value"), "https://example.org/manual");

  for (const pane of [ann, bo]) await pane.getByRole("switch").click();
  for (const [pane, words] of [[ann, "https://example.org/old"], [bo, "https://example.org/new"]] as const) {
    await texts(pane).click();
    await select(page, 6, 6);
    await button(pane, "Link", true).click();
    assert.equal(await pane.getByRole("link", { name: "Open" }).getAttribute("href"), "https://example.org/manual");
    await pane.getByLabel("Address of the link").fill(words);
    await page.keyboard.press("Enter");
    await pane.locator(`.rejoin-mark-link[data-value="${words}"]`).waitFor();
  }
  for (const pane of [ann, bo]) await pane.getByRole("switch").click();
  for (const pane of [ann, bo]) await pane.getByText(/(Ann and Bo|Bo and Ann) linked “.+” to different places\./).waitFor();
  await demo.pictures(page, "rich-disputed");
  // The second side is the one that does not show.
  const shown = await bo.locator(".rejoin-mark-link").getAttribute("data-value");
  await bo.getByRole("button", { name: /^Keep this/ }).nth(1).click();
  for (const pane of [ann, bo]) {
    await pane.locator(`.rejoin-mark-link:not([data-value="${shown}"])`).waitFor();
    await pane.getByText("to different places").waitFor({ state: "hidden" });
  }

  await texts(ann).click();
  await select(page, 6, 6);
  await page.keyboard.press("Control+k");
  await ann.getByRole("button", { name: "Remove", exact: true }).click();
  await marked(page, [ann, bo], {});
});

test("somebody on another browser sees who wrote what", async () => {
  const document = `demo/${crypto.randomUUID()}`;
  const { bo } = await bothWith(demo, "First", document);
  await add(bo, "Second");
  await says(bo, "Saved on the server");
  const { page, ann: other } = await both(demo, document);
  await notes(other, 2);
  await other.getByRole("button", { name: "Versions" }).click();
  await page.getByRole("dialog").getByText(/ · Ann$/).waitFor();
  assert.equal(await device(page, "Bo’s phone").locator(".note").count(), 2);
});
