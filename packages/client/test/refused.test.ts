/** Writes that one change has no room for, and writes that the document does not take, in each editor: nothing is lost without a word, and the editor goes on. */

import assert from "node:assert/strict";
import { before } from "node:test";

import type { Page } from "playwright-core";

import type * as textarea from "#dist/textarea.js";

import type {} from "./pages/codemirror.js";
import { joinDocument, open, synced } from "./support/browser.js";
import { bundle } from "./support/bundle.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

declare global {
  // eslint-disable-next-line no-var
  var errors: string[];
  // eslint-disable-next-line no-var
  var shown: () => string;
}

const stage = new Stage();
let codemirror: string;

before(async () => {
  codemirror = await bundle("codemirror");
});

/** What one change may be. */
const OPERATIONS_MAX = 200_000;

type Editor = "textarea" | "codemirror";

/** A page with an editor of the document's body; what the editor tells of errors is kept. */
async function writer(editor: Editor, document: string): Promise<Page> {
  const page = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(page, stage.server.url, { name: document });
  await synced(page);
  if (editor === "codemirror") await page.addScriptTag({ content: codemirror });
  await page.evaluate(async (editor) => {
    globalThis.errors = [];
    const onError = (error: unknown) => void globalThis.errors.push((error as { code: string }).code);
    if (editor === "codemirror") {
      globalThis.edit("Ann", onError);
      globalThis.shown = () => globalThis.view.state.sliceDoc();
      return;
    }
    const { bind } = (await import("/client/textarea.js" as string)) as typeof textarea;
    const field = globalThis.document.createElement("textarea");
    globalThis.document.body.append(field);
    bind(field, globalThis.doc, ["body"], { person: { name: "Ann" }, onError });
    field.focus();
    globalThis.shown = () => field.value;
  }, editor);
  return page;
}

/** Waits until editor and document of a page show a text. */
async function shows(page: Page, text: string): Promise<void> {
  await page.waitForFunction((text) => globalThis.shown() === text && globalThis.doc.value.body === text, text).catch(async () => {
    const seen = await page.evaluate(() => [globalThis.shown(), String(globalThis.doc.value.body)]);
    // Long ones are told by their ends.
    const told = (text: string) => `${text.length}: ${text.slice(0, 20)} … ${text.slice(-20)}`;
    assert.deepEqual(seen.map(told), [told(text), told(text)]);
  });
}

async function splice(page: Page, index: number, text: string): Promise<void> {
  await page.evaluate(([index, text]) => void globalThis.doc.change((d) => d.body.insert(index, text)), [index, text] as const);
}

/** The outbox of a page is as full as it may be, or not any more. */
async function fill(page: Page, isFull: boolean): Promise<void> {
  await page.evaluate((isFull) => {
    if (isFull) Object.defineProperty(globalThis.doc, "status", { configurable: true, value: { ...globalThis.doc.status, pending: 100_000 } });
    else delete (globalThis.doc as { status?: unknown }).status;
  }, isFull);
}

/** Undoes or redoes step by step until the document's text is this. */
async function step(page: Page, way: "undo" | "redo", text: string): Promise<void> {
  const done = await page.evaluate(async ([way, text]) => {
    while (globalThis.doc.value.body !== text) if (!(await globalThis.doc[way]())) return false;
    return true;
  }, [way, text] as const);
  assert.ok(done, `${way} leads there`);
  await shows(page, text);
}

async function errors(page: Page): Promise<string[]> {
  return page.evaluate(() => globalThis.errors.splice(0));
}

test("textarea: what is too large for one change is pasted as several, is saved, and is undone and redone", async () => {
  const [ann, bob] = [await writer("textarea", "refused/pasted"), await writer("textarea", "refused/pasted")];
  const text = "0123456789".repeat(OPERATIONS_MAX / 10) + "😀";
  await ann.keyboard.insertText(text);
  await shows(bob, text);
  await synced(ann);
  await splice(bob, 0, "by Bob ");
  await shows(ann, `by Bob ${text}`);
  await ann.keyboard.press("Control+End");
  await ann.keyboard.type("!");
  await shows(bob, `by Bob ${text}!`);
  await step(ann, "undo", "by Bob ");
  await step(ann, "redo", `by Bob ${text}!`);
  assert.deepEqual(await errors(ann), []);
});

test("codemirror: a text is replaced by another where that is too large for one change, and comes back", async () => {
  const [ann, bob] = [await writer("codemirror", "refused/replaced"), await writer("codemirror", "refused/replaced")];
  const [first, second] = ["abcd".repeat(26_213), "a😀b".repeat(26_213)];
  await splice(bob, 0, first);
  await shows(ann, first);
  await ann.keyboard.press("Control+a");
  await ann.keyboard.insertText(second);
  await shows(bob, second);
  await synced(ann);
  await splice(bob, second.length, " by Bob");
  await shows(ann, `${second} by Bob`);
  await step(ann, "undo", `${first} by Bob`);
  await shows(bob, `${first} by Bob`);
  assert.deepEqual(await errors(ann), []);
});

for (const editor of ["textarea", "codemirror"] as const) {
  test(`${editor}: what the document does not take is told, the editor shows what the document holds, and goes on`, async () => {
    const [ann, bob] = [await writer(editor, `refused/full-${editor}`), await writer(editor, `refused/full-${editor}`)];
    await ann.keyboard.type("kept");
    await shows(bob, "kept");
    await ann.keyboard.press("ArrowLeft");
    await fill(ann, true);
    await ann.keyboard.type("xyz");
    await shows(ann, "kept");
    await splice(bob, 4, " by Bob");
    await shows(ann, "kept by Bob");
    assert.deepEqual(new Set(await errors(ann)), new Set(["outbox-full"]));
    await fill(ann, false);
    await ann.keyboard.type("p");
    await shows(bob, "keppt by Bob");
    // The engine is gone, and then the document.
    await ann.evaluate(() => globalThis.client.crash());
    await ann.keyboard.type("lost");
    await ann.keyboard.press("Control+z");
    await ann.keyboard.press("Control+y");
    await shows(ann, "keppt by Bob");
    await ann.waitForFunction(() => globalThis.errors.length >= 3);
    assert.deepEqual(new Set(await errors(ann)), new Set(["engine-failed"]));
    await bob.evaluate(() => globalThis.doc.close());
    await bob.keyboard.type("lost");
    await shows(bob, "keppt by Bob");
    assert.deepEqual(new Set(await errors(bob)), new Set(["closed"]));
  });
}
