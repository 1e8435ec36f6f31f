/** Marks of texts: in drafts, in the engine, and in pages that mark and write at once, with the real server between them. */

import assert from "node:assert/strict";

import type { Page } from "playwright-core";

import { joinDocument, load, open, synced } from "./support/browser.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

async function pages(name: string, text: string): Promise<[Page, Page]> {
  const made: Page[] = [];
  for (let n = 0; n < 2; n += 1) {
    const page = await open(await stage.chromium.context(), stage.site.origin);
    await joinDocument(page, stage.server.url, { name });
    if (n === 0) await page.evaluate((text) => void globalThis.doc.change((d) => d.body.insert(0, text)), text);
    await page.waitForFunction((text) => globalThis.doc.value.body === text, text);
    await synced(page);
    made.push(page);
  }
  return made as [Page, Page];
}

/** The marks of the body that a page shows, as `name=value "what is marked"`. */
function shown(page: Page): Promise<string[]> {
  return page.evaluate(() => globalThis.doc.marks(["body"]).map(({ from, to, name, value }) => `${name}=${String(value)} "${globalThis.doc.value.body.slice(from, to)}"`));
}

/** Waits until all pages show these marks. */
async function marks(all: Page[], ...wanted: string[]): Promise<void> {
  for (const page of all) {
    await page
      .waitForFunction((wanted) => {
        const { value, marks } = { value: globalThis.doc.value.body, marks: globalThis.doc.marks(["body"]) };
        return JSON.stringify(marks.map((mark) => `${mark.name}=${String(mark.value)} "${value.slice(mark.from, mark.to)}"`)) === JSON.stringify(wanted);
      }, wanted)
      .catch(async () => assert.deepEqual(await shown(page), wanted));
  }
}

test("one marks with no network, the other writes within and at the ends: both show the same marks, and what the engine has", async () => {
  const [ann, bob] = await pages("marks/heal", "one 😀two three");
  for (const page of [ann, bob]) await page.evaluate(() => globalThis.client.goOffline());
  const told = await ann.evaluate(() => {
    const { doc } = globalThis;
    const told: unknown[] = [];
    doc.subscribe(({ patches }) => told.push(...patches));
    doc.change((d) => {
      d.body.mark(4, 9, "bold", true);
      d.body.mark(10, 15, "link", "https://example.org/");
    });
    return new Promise((resolve) => queueMicrotask(() => resolve(told)));
  });
  assert.deepEqual(told, [
    { kind: "mark", path: ["body"], from: 4, to: 9, name: "bold", value: true },
    { kind: "mark", path: ["body"], from: 10, to: 15, name: "link", value: "https://example.org/" },
  ]);
  await bob.evaluate(() => {
    const { doc } = globalThis;
    doc.change((d) => d.body.insert(15, "!"));
    doc.change((d) => d.body.insert(6, "é"));
    doc.change((d) => d.body.insert(4, "("));
    // Of what two put in one place at once, the one of more edits stands first: this before the end of the mark, that above behind the link's.
    doc.change((d) => d.body.insert(11, "+"));
  });
  for (const page of [ann, bob]) await page.evaluate(() => globalThis.client.goOnline());
  const wanted = ['bold=true "😀étwo+"', 'link=https://example.org/ "three"'];
  for (const page of [ann, bob]) await page.waitForFunction(() => globalThis.doc.value.body === "one (😀étwo+ three!");
  await marks([ann, bob], ...wanted);
  for (const page of [ann, bob]) await synced(page);
  // Read from the engine, by one that has edited nothing; and from what was kept.
  const fresh = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(fresh, stage.server.url, { name: "marks/heal" });
  await marks([fresh], ...wanted);
  await ann.evaluate(() => globalThis.client.close());
  await load(ann, stage.site.origin);
  await joinDocument(ann, "ws://127.0.0.1:9/", { name: "marks/heal" });
  assert.deepEqual(await shown(ann), wanted, "the value that was kept has the marks");
});

test("two links on the same words are a conflict, and both pages show the same one", async () => {
  const [ann, bob] = await pages("marks/links", "see here");
  for (const page of [ann, bob]) await page.evaluate(() => globalThis.client.goOffline());
  await ann.evaluate(() => void globalThis.doc.change((d) => d.body.mark(0, 8, "link", "a:")));
  await bob.evaluate(() => void globalThis.doc.change((d) => d.body.mark(4, 8, "link", "b:")));
  for (const page of [ann, bob]) await page.evaluate(() => globalThis.client.goOnline());
  for (const page of [ann, bob]) {
    await page.waitForFunction(async () => (await globalThis.doc.conflicts.listed).some(({ kind }) => kind === "mark"));
    await synced(page);
  }
  const wins = await ann.evaluate(async () => {
    const conflict = (await globalThis.doc.conflicts.listed).find(({ kind }) => kind === "mark");
    return conflict?.candidates.find(({ shown }) => shown)?.value;
  });
  // What is listed and what is shown come each by itself.
  await marks([ann, bob], ...(wins === "a:" ? ['link=a: "see here"'] : ['link=a: "see "', 'link=b: "here"']));
});

test("marking is undone and done again, and what others have marked since stays; a deletion that is undone has its marks back", async () => {
  const [ann, bob] = await pages("marks/undo", "one two three four");
  const change = (page: Page, from: number, to: number, value: string | null) =>
    page.evaluate(([from, to, value]) => void globalThis.doc.change((d) => (value === null ? d.body.unmark(from, to, "note") : d.body.mark(from, to, "note", value))), [from, to, value] as const);
  await change(ann, 0, 13, "a");
  await marks([bob], 'note=a "one two three"');
  await bob.evaluate(() => void globalThis.doc.change((d) => d.body.insert(5, "__")));
  await change(bob, 0, 3, "b");
  await marks([ann], 'note=b "one"', 'note=a " t__wo three"');
  assert.equal(await ann.evaluate(() => globalThis.doc.undo()), true);
  await marks([ann, bob], 'note=b "one"');
  assert.equal(await ann.evaluate(() => globalThis.doc.redo()), true);
  await marks([ann, bob], 'note=b "one"', 'note=a " t__wo three"');
  await change(ann, 4, 9, null);
  await marks([ann, bob], 'note=b "one"', 'note=a " "', 'note=a " three"');
  await ann.evaluate(() => globalThis.doc.undo());
  await marks([ann, bob], 'note=b "one"', 'note=a " t__wo three"');
  // All that is marked goes, and what stands beside it.
  await ann.evaluate(() => void globalThis.doc.change((d) => d.body.splice(9, 8)));
  await marks([ann, bob], 'note=b "one"', 'note=a " t__wo"');
  await ann.evaluate(() => globalThis.doc.undo());
  await ann.waitForFunction(() => globalThis.doc.value.body === "one t__wo three four");
  await marks([ann, bob], 'note=b "one"', 'note=a " t__wo three"');
});

test("undo of what was typed behind marks takes that away, and redo brings it back", async () => {
  const [ann, bob] = await pages("marks/behind", "one two three");
  const text = async (wanted: string) => {
    for (const page of [ann, bob]) await page.waitForFunction((wanted) => globalThis.doc.value.body === wanted, wanted).catch(async () => assert.equal(await page.evaluate(() => String(globalThis.doc.value.body)), wanted));
  };
  await ann.evaluate(() => {
    globalThis.doc.change((d) => (d.body.mark(0, 3, "bold", true), d.body.mark(4, 7, "italic", true)));
    globalThis.doc.commit();
    globalThis.doc.change((d) => d.body.insert(13, "!!"));
  });
  await text("one two three!!");
  await ann.evaluate(() => globalThis.doc.undo());
  await text("one two three");
  await ann.evaluate(() => globalThis.doc.redo());
  await text("one two three!!");
});

test("versions have their marks, and a restored one too", async () => {
  const [ann, bob] = await pages("marks/versions", "hello");
  await ann.evaluate(() => void globalThis.doc.change((d) => d.body.mark(0, 5, "bold", true)));
  await synced(ann);
  const change = await ann.evaluate(async () => (await globalThis.doc.history).at(-1)?.change as string);
  await ann.evaluate(() => void globalThis.doc.change((d) => d.body.unmark(1, 4, "bold")));
  await marks([ann, bob], 'bold=true "h"', 'bold=true "o"');
  assert.deepEqual(await ann.evaluate((change) => globalThis.doc.diff(change), change), [{ kind: "mark", path: ["body"], from: 1, to: 4, name: "bold", value: null }]);
  await ann.evaluate((change) => void globalThis.doc.restore(change), change);
  await marks([ann, bob], 'bold=true "hello"');
});

test("the ends of a mark take in what its maker has said, and the page is told", async () => {
  const [ann, bob] = await pages("marks/expand", "ab");
  const put = async (expand: "before" | "after" | "both" | "none") => {
    await ann.evaluate((expand) => void globalThis.doc.change((d) => {
      d.body.splice(0, d.body.length, "-ab-");
      d.body.mark(1, 3, expand, true, { expand });
    }), expand);
    await marks([bob], `${expand}=true "ab"`);
    await bob.evaluate(() => void globalThis.doc.change((d) => (d.body.insert(3, ">"), d.body.insert(1, "<"))));
  };
  await put("none");
  await marks([ann, bob], 'none=true "ab"');
  await put("before");
  await marks([ann, bob], 'before=true "<ab"');
  await put("after");
  await marks([ann, bob], 'after=true "ab>"');
  await put("both");
  await marks([ann, bob], 'both=true "<ab>"');
});
