/** Text fields bound to a text: typing, composing, undo, and the carets of others, in pages with the real server between them. */

import assert from "node:assert/strict";

import type { CDPSession, Page } from "playwright-core";

import type * as textarea from "#dist/textarea.js";

import { joinDocument, open, synced } from "./support/browser.js";
import { LONG, replaceAll, REPLACED } from "./support/long.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

declare global {
  // eslint-disable-next-line no-var
  var field: HTMLTextAreaElement;
  // eslint-disable-next-line no-var
  var bound: textarea.Binding;
}

const stage = new Stage();

/** A page with a text field that is bound to the body of the document. */
async function writer(name: string, document: string, tag = "textarea"): Promise<Page> {
  const page = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(page, stage.server.url, { name: document });
  await synced(page);
  await page.evaluate(
    async ([name, tag]) => {
      const { bind } = (await import("/client/textarea.js" as string)) as typeof textarea;
      globalThis.field = globalThis.document.createElement(tag as "textarea");
      globalThis.field.style.cssText = "font: 20px/30px monospace; width: 400px; height: 120px; margin: 40px";
      globalThis.document.body.append(globalThis.field);
      globalThis.bound = bind(globalThis.field, globalThis.doc, ["body"], { person: { name } });
      globalThis.field.focus();
    },
    [name, tag] as const,
  );
  return page;
}

async function shows(page: Page, text: string): Promise<void> {
  await page.waitForFunction((text) => globalThis.field.value === text && globalThis.doc.value.body === text, text).catch(async () => {
    assert.deepEqual(await page.evaluate(() => [globalThis.field.value, globalThis.doc.value.body]), [text, text]);
  });
}

async function select(page: Page, start: number, end = start): Promise<void> {
  await page.evaluate(([start, end]) => globalThis.field.setSelectionRange(start, end), [start, end] as const);
}

function selection(page: Page): Promise<number[]> {
  return page.evaluate(() => [globalThis.field.selectionStart, globalThis.field.selectionEnd]);
}

async function splice(page: Page, index: number, deleted: number, text: string): Promise<void> {
  await page.evaluate(([index, deleted, text]) => void globalThis.doc.change((d) => d.body.splice(index, deleted, text)), [index, deleted, text] as const);
}

test("typing is a splice at the caret, and what others write leaves the selection where it is", async () => {
  const [ann, bob] = [await writer("Ann", "textarea/typing"), await writer("Bob", "textarea/typing")];
  await ann.keyboard.type("aaaa 😀 end");
  await shows(bob, "aaaa 😀 end");
  await select(ann, 2);
  await ann.keyboard.type("a");
  await select(ann, 1);
  await ann.keyboard.press("Delete");
  await shows(bob, "aaaa 😀 end");
  await select(ann, 7);
  await ann.keyboard.press("Backspace");
  await shows(bob, "aaaa  end");
  await select(ann, 5, 9);
  await splice(bob, 0, 4, "bb");
  await shows(ann, "bb  end");
  assert.deepEqual(await selection(ann), [3, 7]);
  await splice(bob, 3, 0, "the ");
  await shows(ann, "bb the  end");
  assert.deepEqual(await selection(ann), [7, 11], "what comes at the edge of a selection is not selected");
  await select(ann, 3);
  await splice(bob, 3, 4, "");
  // What comes together is told by its result alone, in which blanks look alike.
  await shows(ann, "bb  end");
  await splice(bob, 0, 0, ">> ");
  await shows(ann, ">> bb  end");
  assert.deepEqual(await selection(ann), [6, 6]);
  // Replaced at once, as by pasting.
  await ann.keyboard.press("Control+a");
  await ann.keyboard.insertText("new");
  await shows(bob, "new");
});

test("what another one replaces in 300 places of a long text leaves caret and selection at their characters", async () => {
  const [ann, bob] = [await writer("Ann", "textarea/scattered"), await writer("Bob", "textarea/scattered")];
  await splice(bob, 0, 0, LONG);
  await shows(ann, LONG);
  const at = LONG.indexOf("HERE");
  await select(ann, at, at + 4);
  await bob.evaluate(replaceAll);
  await shows(ann, REPLACED);
  const now = REPLACED.indexOf("HERE");
  assert.deepEqual(await selection(ann), [now, now + 4]);
  await select(ann, now + 2);
  await bob.keyboard.press("Control+z");
  await shows(ann, LONG);
  assert.deepEqual(await selection(ann), [at + 2, at + 2]);
});

test("where a letter goes among equal ones is told by the caret", async () => {
  const ann = await writer("Ann", "textarea/equal");
  await ann.keyboard.type("aaa");
  // A cursor stays with its letter, so it shows where the new one went.
  const cursor = await ann.evaluate(() => globalThis.doc.cursor(["body"], 1));
  await select(ann, 1);
  await ann.keyboard.type("a");
  assert.equal(await ann.evaluate((cursor) => globalThis.doc.position(cursor), cursor), 2);
  await select(ann, 2);
  await ann.keyboard.type("a");
  assert.equal(await ann.evaluate((cursor) => globalThis.doc.position(cursor), cursor), 3);
  await select(ann, 4);
  await ann.keyboard.type("a");
  assert.equal(await ann.evaluate((cursor) => globalThis.doc.position(cursor), cursor), 3);
});

test("what is being composed is left alone, and what others write meanwhile comes with its end", async () => {
  const [ann, bob] = [await writer("Ann", "textarea/composing"), await writer("Bob", "textarea/composing")];
  await ann.keyboard.type("one three");
  await shows(bob, "one three");
  await select(ann, 4);
  const ime: CDPSession = await ann.context().newCDPSession(ann);
  await ime.send("Input.imeSetComposition", { text: "に", selectionStart: 1, selectionEnd: 1 });
  await ime.send("Input.imeSetComposition", { text: "にほ", selectionStart: 2, selectionEnd: 2 });
  assert.equal(await ann.evaluate(() => globalThis.doc.value.body), "one three", "half a word is nobody's business");
  await splice(bob, 0, 0, "zero ");
  await splice(bob, 14, 0, " four");
  await ann.waitForFunction(() => globalThis.doc.value.body === "zero one three four");
  assert.equal(await ann.evaluate(() => globalThis.field.value), "one にほthree", "the composition stands");
  await ime.send("Input.insertText", { text: "日本 " });
  await shows(ann, "zero one 日本 three four");
  await shows(bob, "zero one 日本 three four");
  assert.deepEqual(await selection(ann), [12, 12], "the caret stands behind what was composed");
});

test("the keys of undo and redo are the document's: own typing goes and comes, what others typed stays", async () => {
  const [ann, bob] = [await writer("Ann", "textarea/undo"), await writer("Bob", "textarea/undo")];
  await ann.keyboard.type("mine");
  await shows(bob, "mine");
  await splice(bob, 4, 0, " and his");
  await shows(ann, "mine and his");
  await ann.keyboard.press("Control+z");
  await shows(bob, " and his");
  await ann.keyboard.press("Control+Shift+z");
  await shows(bob, "mine and his");
  assert.deepEqual(await selection(ann), [4, 4], "the caret is where something came back");
  await ann.keyboard.press("Control+z");
  await shows(ann, " and his");
  await ann.keyboard.press("Control+y");
  await shows(bob, "mine and his");
});

test("carets and names of others are drawn where they stand, and go when they leave", async () => {
  const [ann, bob] = [await writer("Ann", "textarea/carets"), await writer("Bob", "textarea/carets")];
  await ann.keyboard.type("hello world");
  await shows(bob, "hello world");
  const caret = bob.locator("rejoin-carets .caret").getByText("Ann");
  await caret.waitFor();
  const left = async () => (await caret.boundingBox())?.x ?? 0;
  const at = (units: number) => bob.evaluate((units) => {
    const { left } = globalThis.field.getBoundingClientRect();
    const canvas = document.createElement("canvas").getContext("2d") as CanvasRenderingContext2D;
    const { font, paddingLeft, borderLeftWidth } = getComputedStyle(globalThis.field);
    canvas.font = font;
    return left + parseFloat(paddingLeft) + parseFloat(borderLeftWidth) + canvas.measureText("x".repeat(units)).width;
  }, units);
  const stands = async (units: number) => {
    const wanted = await at(units);
    await bob.waitForFunction(
      (wanted) => {
        const layer = document.querySelector("rejoin-carets")?.shadowRoot;
        const box = layer?.querySelector(".caret")?.getBoundingClientRect();
        return box !== undefined && Math.abs(box.x - wanted) < 2;
      },
      wanted,
    ).catch(async () => assert.equal(await left(), wanted));
  };
  await stands(11);
  await select(ann, 5);
  await stands(5);
  await splice(bob, 0, 0, ">> ");
  await stands(8);
  await shows(ann, ">> hello world");
  await select(ann, 3, 8);
  await bob.locator("rejoin-carets .selected").filter({ hasText: "hello" }).waitFor();
  await ann.evaluate(() => globalThis.field.blur());
  await caret.waitFor({ state: "detached" });
  await ann.evaluate(() => globalThis.field.focus());
  await caret.waitFor();
  await ann.close();
  await caret.waitFor({ state: "detached" });
});

test("a line of input shows a text without its line breaks, and unbinding leaves field and document alone", async () => {
  const ann = await writer("Ann", "textarea/line", "input");
  await splice(ann, 0, 0, "one\r\ntwo");
  await ann.waitForFunction(() => globalThis.field.value === "onetwo");
  await select(ann, 3);
  await ann.keyboard.type("!");
  assert.deepEqual(await ann.evaluate(() => [globalThis.field.value, globalThis.doc.value.body]), ["one!two", "one!\r\ntwo"]);
  await ann.keyboard.press("End");
  await ann.keyboard.press("Backspace");
  assert.equal(await ann.evaluate(() => globalThis.doc.value.body), "one!\r\ntw");
  await ann.evaluate(() => globalThis.bound.unbind());
  await ann.keyboard.type("?");
  await splice(ann, 0, 0, "x");
  assert.deepEqual(await ann.evaluate(() => [globalThis.field.value, globalThis.doc.value.body]), ["one!tw?", "xone!\r\ntw"]);
  assert.equal(await ann.locator("rejoin-carets").count(), 0);
});
