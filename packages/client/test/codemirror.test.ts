/** CodeMirror 6 on a text: transactions to changes and patches to transactions, undo, carets, in pages with the real server between them. */

import assert from "node:assert/strict";
import { before } from "node:test";

import type { Page } from "playwright-core";

import type {} from "./pages/codemirror.js";
import { joinDocument, open, synced } from "./support/browser.js";
import { bundle } from "./support/bundle.js";
import { LONG, replaceAll, REPLACED } from "./support/long.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();
let script: string;

before(async () => {
  script = await bundle("codemirror");
});

async function writer(name: string, document: string): Promise<Page> {
  const page = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(page, stage.server.url, { name: document });
  await synced(page);
  await page.addScriptTag({ content: script });
  await page.evaluate((name) => globalThis.edit(name), name);
  return page;
}

async function shows(page: Page, text: string): Promise<void> {
  const both = () => page.evaluate(() => [globalThis.view.state.sliceDoc(), globalThis.doc.value.body]);
  await page
    .waitForFunction((text) => globalThis.view.state.sliceDoc() === text && globalThis.doc.value.body === text, text)
    .catch(async () => assert.deepEqual(await both(), [text, text]));
}

async function select(page: Page, anchor: number, head = anchor): Promise<void> {
  await page.evaluate(([anchor, head]) => globalThis.view.dispatch({ selection: { anchor, head } }), [anchor, head] as const);
}

function splice(page: Page, index: number, deleted: number, text: string): Promise<void> {
  return page.evaluate(([index, deleted, text]) => void globalThis.doc.change((d) => d.body.splice(index, deleted, text)), [index, deleted, text] as const);
}

test("two editors write one text: each transaction is a change, and the selection stays with what is selected", async () => {
  const [ann, bob] = [await writer("Ann", "codemirror/typing"), await writer("Bob", "codemirror/typing")];
  await ann.keyboard.type("one two 😀");
  await ann.keyboard.press("Enter");
  await ann.keyboard.type("three");
  await shows(bob, "one two 😀\nthree");
  await select(ann, 4, 7);
  await splice(bob, 0, 3, "ONE MORE");
  await splice(bob, 17, 0, "and ");
  await shows(ann, "ONE MORE two 😀\nthree".replace("three", "tand hree"));
  assert.deepEqual(await ann.evaluate(() => [globalThis.view.state.selection.main.from, globalThis.view.state.selection.main.to]), [9, 12]);
  // Several places in one transaction.
  await bob.evaluate(() => globalThis.view.dispatch({ changes: [{ from: 0, to: 4, insert: "" }, { from: 9, insert: "the " }, { from: 12, to: 13, insert: "" }] }));
  await shows(ann, await bob.evaluate(() => globalThis.view.state.sliceDoc()));
  await splice(bob, 0, 0, "a\r\nb ");
  await shows(ann, await bob.evaluate(() => globalThis.doc.value.body));
});

test("what another one replaces in 300 places of a long text leaves caret and selection at their characters, in one transaction", async () => {
  const [ann, bob] = [await writer("Ann", "codemirror/scattered"), await writer("Bob", "codemirror/scattered")];
  await splice(bob, 0, 0, LONG);
  await shows(ann, LONG);
  const at = LONG.indexOf("HERE");
  await select(ann, at + 4, at);
  await ann.evaluate(() => void (globalThis.changes = 0));
  await bob.evaluate(replaceAll);
  await shows(ann, REPLACED);
  const now = REPLACED.indexOf("HERE");
  const selected = () => ann.evaluate(() => [globalThis.view.state.selection.main.anchor, globalThis.view.state.selection.main.head]);
  assert.deepEqual(await selected(), [now + 4, now]);
  assert.equal(await ann.evaluate(() => globalThis.changes), 1);
  await select(ann, now + 2);
  await bob.keyboard.press("Control+z");
  await shows(ann, LONG);
  assert.deepEqual(await selected(), [at + 2, at + 2]);
});

test("undo and redo are the document's", async () => {
  const [ann, bob] = [await writer("Ann", "codemirror/undo"), await writer("Bob", "codemirror/undo")];
  await ann.keyboard.type("mine");
  await shows(bob, "mine");
  await bob.evaluate(() => globalThis.view.dispatch({ changes: { from: 4, insert: " and his" } }));
  await shows(ann, "mine and his");
  await ann.keyboard.press("Control+z");
  await shows(bob, " and his");
  await ann.keyboard.press("Control+Shift+Z");
  await shows(bob, "mine and his");
  await bob.keyboard.press("Control+z");
  await shows(ann, "mine");
});

test("marks are shown, made by keys and commands, and go along with what is written", async () => {
  const [ann, bob] = [await writer("Ann", "codemirror/marks"), await writer("Bob", "codemirror/marks")];
  await ann.keyboard.type("one two three");
  await shows(bob, "one two three");
  const marked = async (wanted: string[]) => {
    for (const page of [ann, bob]) {
      const found = () => page.evaluate(() => Array.from(document.querySelectorAll('[class^="rejoin-mark-"]'), (mark) => `${mark.tagName} ${mark.className} ${(mark as HTMLElement).dataset.value} ${mark.textContent}`));
      await page
        .waitForFunction((wanted) => JSON.stringify(Array.from(document.querySelectorAll('[class^="rejoin-mark-"]'), (mark) => `${mark.tagName} ${mark.className} ${(mark as HTMLElement).dataset.value} ${mark.textContent}`)) === JSON.stringify(wanted), wanted)
        .catch(async () => assert.deepEqual(await found(), wanted));
    }
  };
  await select(ann, 0, 3);
  await ann.keyboard.press("Control+b");
  await marked(["STRONG rejoin-mark-bold true one"]);
  await select(ann, 8, 13);
  assert.equal(await ann.evaluate(() => globalThis.toggle("link", "https://example.org/")(globalThis.view)), true);
  await marked(["STRONG rejoin-mark-bold true one", "SPAN rejoin-mark-link https://example.org/ three"]);
  await bob.evaluate(() => globalThis.view.dispatch({ changes: [{ from: 3, insert: "!" }, { from: 10, insert: "_" }, { from: 13, insert: "?" }] }));
  await shows(ann, "one! two th_ree?");
  await marked(["STRONG rejoin-mark-bold true one!", "SPAN rejoin-mark-link https://example.org/ th_ree"]);
  await select(ann, 0, 4);
  await ann.keyboard.press("Control+b");
  await marked(["SPAN rejoin-mark-link https://example.org/ th_ree"]);
  await ann.keyboard.press("Control+z");
  await marked(["STRONG rejoin-mark-bold true one!", "SPAN rejoin-mark-link https://example.org/ th_ree"]);
});

test("a mark chosen with nothing selected is for what is typed next, until the caret goes elsewhere; the editor tells what holds there", async () => {
  const [ann, bob] = [await writer("Ann", "codemirror/chosen"), await writer("Bob", "codemirror/chosen")];
  const holds = (name: string) => ann.evaluate((name) => globalThis.at(globalThis.view.state, name), name);
  const marks = async (page: Page, ...wanted: string[]) => {
    await page.waitForFunction((wanted) => {
      const { value, marks } = { value: globalThis.doc.value.body, marks: globalThis.doc.marks(["body"]) };
      return JSON.stringify(marks.map(({ from, to, name, value: said }) => `${name}=${String(said)} "${value.slice(from, to)}"`)) === JSON.stringify(wanted);
    }, wanted);
  };
  await ann.keyboard.type("one ");
  await ann.keyboard.press("Control+b");
  assert.equal(await holds("bold"), true);
  assert.equal(await holds("italic"), undefined);
  await ann.keyboard.press("Control+i");
  await ann.keyboard.press("Control+i");
  await ann.keyboard.type("two");
  for (const page of [ann, bob]) await marks(page, 'bold=true "two"');
  // What somebody else writes at the caret meanwhile is theirs alone.
  await ann.keyboard.press("Control+b");
  assert.equal(await holds("bold"), undefined);
  await splice(bob, 0, 0, "> ");
  await shows(ann, "> one two");
  await ann.keyboard.type(" three");
  await shows(bob, "> one two three");
  for (const page of [ann, bob]) await marks(page, 'bold=true "two"');
  // Within a mark it holds, before its begin it does not, and of what is selected all must have it.
  for (const [anchor, head, held] of [[7, 7, true], [6, 6, undefined], [9, 9, true], [6, 9, true], [5, 9, undefined]] as const) {
    await select(ann, anchor, head);
    assert.equal(await holds("bold"), held, `${anchor} to ${head}`);
  }
  await select(ann, 2, 5);
  assert.equal(await ann.evaluate(() => globalThis.toggle("link", "a:")(globalThis.view)), true);
  assert.equal(await holds("link"), "a:");
  await select(ann, 5);
  assert.equal(await holds("link"), undefined, "what is typed behind a link is not part of it");
  await ann.keyboard.press("Control+b");
  await select(ann, 0);
  await select(ann, 5);
  await ann.keyboard.type("!");
  await shows(bob, "> one! two three");
  for (const page of [ann, bob]) await marks(page, 'bold=true "two"', 'link=a: "one"');
});

test("carets and selections of others are shown, go along with the text, and go when they leave", async () => {
  const [ann, bob] = [await writer("Ann", "codemirror/carets"), await writer("Bob", "codemirror/carets")];
  await ann.keyboard.type("hello world");
  await shows(bob, "hello world");
  const caret = bob.locator('.rejoin-caret[data-name="Ann"]');
  await caret.waitFor();
  const before = () => bob.evaluate(() => {
    const caret = document.querySelector(".rejoin-caret");
    return caret ? globalThis.view.posAtDOM(caret) : undefined;
  });
  const stands = async (at: number) => {
    await bob.waitForFunction((at) => {
      const caret = document.querySelector(".rejoin-caret");
      return caret && globalThis.view.posAtDOM(caret) === at;
    }, at).catch(async () => assert.equal(await before(), at));
  };
  await stands(11);
  await select(ann, 5);
  await stands(5);
  await bob.evaluate(() => globalThis.view.dispatch({ changes: { from: 0, insert: ">> " } }));
  await stands(8);
  await shows(ann, ">> hello world");
  await select(ann, 3, 8);
  await bob.locator(".rejoin-selected").filter({ hasText: "hello" }).waitFor();
  await ann.close();
  await caret.waitFor({ state: "detached" });
});
