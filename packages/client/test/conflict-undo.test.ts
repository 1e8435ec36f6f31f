/** Answers taken back: each kind of conflict answered, undone, and answered otherwise, between two browsers and the real server, with the pages loaded again between. */

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Page } from "playwright-core";

import type { Answer, Conflict, ConflictKind } from "#dist/index.js";

import { change, disagree, type Draft, end, listed, network, pair, pick, reload, settle, value } from "./support/shop.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

/** A document in which somebody who had the deletion of the pears wrote in them, which no page lets anybody do. `sync-core/tests/conflicts/stories.rs` makes it. */
const LATE = new URL("../test/support/edit-in-deleted.hex", import.meta.url);

const stage = new Stage();

type Side = Conflict["candidates"][number];
/** An answer, and what both shall show at the place. */
type Round = (shown: Side, hidden: Side, conflict: Conflict) => [Answer, unknown];

/** What stands at a path of a page's value. */
function at(page: Page, path: Conflict["path"]): Promise<unknown> {
  return page.evaluate((path) => path.reduce<unknown>((held, step) => (held as Record<string, unknown> | undefined)?.[step], globalThis.shop.value), path);
}

/** Waits until both have the answer, and show this. */
async function settled(pages: [Page, Page], id: string, path: Conflict["path"], wanted: unknown): Promise<void> {
  for (const page of pages) {
    assert.equal((await listed(page, "settled")).id, id);
    await page.waitForFunction(
      ([path, wanted]) => {
        const held = path.reduce<unknown>((held, step) => (held as Record<string, unknown> | undefined)?.[step], globalThis.shop.value);
        const sorted = (value: unknown) => JSON.stringify(value, (_, item: unknown) => (typeof item === "object" && item !== null && !Array.isArray(item) ? Object.fromEntries(Object.entries(item).sort()) : item));
        return sorted(held) === sorted(wanted);
      },
      [path, wanted] as const,
    ).catch(async () => assert.deepEqual(await at(page, path), wanted));
  }
}

/** What the sides say and which changes say so, as it was before anybody answered, whichever shows by now. */
function sides({ candidates, base }: Conflict): unknown {
  return [base, candidates.map(({ value, change }) => [value, change])];
}

/** Gives one answer after the other, each by the other device than the one before, takes each back but the last, and loads the pages again after each step. */
async function undo(pages: [Page, Page], kind: ConflictKind, rounds: Round[]): Promise<Conflict> {
  const conflict = await listed(pages[0]);
  const { id, path, document } = conflict;
  assert.deepEqual([conflict.kind, sides(await listed(pages[1]))], [kind, sides(conflict)]);
  const [shown, hidden] = conflict.candidates as [Side, Side];
  for (const [index, round] of rounds.entries()) {
    const [answer, wanted] = round(shown, hidden, conflict);
    const [one, other] = index % 2 === 0 ? pages : pages.toReversed() as [Page, Page];
    await settle(one, answer, `round ${index}`);
    await settled(pages, id, path, wanted);
    await reload(stage, pages, document);
    await settled(pages, id, path, wanted);
    assert.equal((await listed(other, "settled")).settledBy?.note, `round ${index}`);
    if (index === rounds.length - 1) break;
    await other.evaluate((id) => globalThis.shop.conflicts.reopen(id), id);
    for (const again of [false, true]) {
      if (again) await reload(stage, pages, document);
      for (const page of pages) {
        const open = await listed(page);
        assert.deepEqual([open.id, sides(open)], [id, sides(conflict)], `${kind}, round ${index}`);
      }
    }
  }
  return conflict;
}

/** Picks a side, of which this is to show. */
function picks(which: "shown" | "hidden"): Round {
  return (shown, hidden, conflict) => {
    const side = which === "shown" ? shown : hidden;
    return [pick(conflict, side.value), side.value];
  };
}

const plums = (quantity: number, extra: string): Draft =>
  new Function("draft", `draft.stock.plums = { name: "Plums", quantity: ${quantity}, ${extra}: "yes" }`) as Draft;
const label = (words: string): Draft => new Function("draft", `draft.stock.note = new Text(${JSON.stringify(words)})`) as Draft;

const kinds: [string, ConflictKind, Draft, Draft, Round[]][] = [
  [
    "register", "register",
    ({ stock }) => void (stock.apples!.quantity = 7), ({ stock }) => void (stock.apples!.quantity = 12),
    [picks("hidden"), picks("shown"), () => [{ value: 10 }, 10]],
  ],
  [
    "a value removed", "delete-update",
    ({ stock }) => void (stock.apples!.quantity = 7), ({ stock }) => void delete (stock.apples as { quantity?: number }).quantity,
    [picks("hidden"), picks("shown"), () => [{ value: 10 }, 10]],
  ],
  [
    "an object removed", "delete-update",
    ({ stock }) => void (stock.apples!.quantity = 7), ({ stock }) => void delete stock.apples,
    [picks("hidden"), picks("shown"), picks("hidden")],
  ],
  [
    "container", "container", plums(4, "sweet"), plums(9, "ripe"),
    [
      picks("hidden"), picks("shown"), picks("hidden"),
      (shown, hidden) => [{ keep: "both" }, { ...(hidden.value as object), ...(shown.value as object) }],
    ],
  ],
  [
    "two texts", "container", label("milk "), label("bread "),
    [
      (shown, hidden) => [{ keep: "both" }, `${shown.value}${hidden.value}`], picks("hidden"),
      (shown, hidden) => [{ keep: "both" }, `${shown.value}${hidden.value}`], picks("shown"),
    ],
  ],
  [
    "counter-overwrite", "counter-overwrite",
    ({ stock }) => stock.apples!.sold.increment(3), (draft) => void (draft.stock.apples!.sold = new (globalThis.rejoin.Counter)(0)),
    [picks("hidden"), picks("shown"), () => [{ keep: "both" }, 3], () => [{ value: 20 }, 20]],
  ],
];

for (const [name, kind, annWrites, boWrites, rounds] of kinds) {
  test(`${name}: an answer is taken back and another one given`, async () => {
    const pages = await pair(stage, `undo/${name.replaceAll(" ", "-")}`);
    await disagree(pages, annWrites, boWrites);
    await undo(pages, kind, rounds);
    await end(pages);
  });
}

test("edit-in-deleted: an answer is taken back and another one given", async () => {
  const file = join(tmpdir(), `rejoin-late-${crypto.randomUUID()}`);
  await writeFile(file, Buffer.from((await readFile(LATE, "utf8")).trim(), "hex"));
  await stage.server.import("undo/late", file);
  const pages = await pair(stage, "undo/late");
  const { base, path } = await undo(pages, "edit-in-deleted", [picks("hidden"), picks("shown"), picks("hidden")]);
  assert.deepEqual([path, base], [["stock", "pears"], { name: "Pears", quantity: 6 }]);
  assert.deepEqual((await value(pages[0])).stock.pears, { name: "Pears", quantity: 9 });
  await end(pages);
});

test("mark: the hidden link, none or another one is had on the characters in dispute, and taken back", async () => {
  const pages = await pair(stage, "undo/mark");
  const path = ["stock", "apples", "label"];
  const link = (from: number, to: string): Draft => new Function("draft", `draft.stock.apples.label.mark(${from}, ${from + 2}, "link", ${JSON.stringify(to)})`) as Draft;
  await disagree(pages, link(0, "a.example"), link(1, "b.example"));
  const marks = (page: Page) => page.evaluate((path) => JSON.stringify(globalThis.shop.marks(path).map(({ from, to, value }) => [from, to, value])), path);
  const shown = async (wanted: unknown[][]) => {
    for (const page of pages) await page.waitForFunction(([path, wanted]) => JSON.stringify(globalThis.shop.marks(path as string[]).map(({ from, to, value }) => [from, to, value])) === wanted, [path, JSON.stringify(wanted)] as const).catch(async () => assert.equal(await marks(page), JSON.stringify(wanted)));
  };
  const conflict = await listed(pages[0]);
  const [first, hidden] = conflict.candidates.map((side) => side.value);
  const on = (value: unknown) => {
    const all = [[0, 1, "a.example"], [1, 2, value], [2, 3, "b.example"]].filter(([, , value]) => value !== undefined) as [number, number, unknown][];
    return all.reduce<[number, number, unknown][]>((out, [from, to, value]) => {
      const last = out.at(-1);
      if (last?.[1] === from && last[2] === value) return [...out.slice(0, -1), [last[0], to, value]];
      return [...out, [from, to, value]];
    }, []);
  };
  assert.deepEqual([conflict.kind, conflict.mark?.name, conflict.path.at(-1), conflict.base], ["mark", "link", 1, undefined]);
  await shown(on(first));
  const inspected = (page: Page) => page.evaluate(async (path) => {
    const { conflict, pending } = await globalThis.shop.inspect(path);
    return [conflict?.id, pending];
  }, path);
  for (const page of pages) assert.deepEqual(await inspected(page), [conflict.id, false], "the text's");
  const rounds: [Answer, unknown][] = [[{ pick: 1 }, hidden], [{ value: undefined }, undefined], [{ value: "c.example" }, "c.example"], [{ pick: 0 }, first]];
  for (const [answer, wanted] of rounds) {
    await settle(pages[1], answer);
    for (const page of pages) assert.deepEqual([(await listed(page, "settled")).id, (await listed(page, "settled")).answer], [conflict.id, wanted]);
    await shown(on(wanted));
    await reload(stage, pages, conflict.document);
    for (const page of pages) assert.deepEqual([(await listed(page, "settled")).id, (await listed(page, "settled")).answer], [conflict.id, wanted]);
    await shown(on(wanted));
    assert.equal((await inspected(pages[0]))[0], undefined, "it is settled");
    await pages[0].evaluate((id) => globalThis.shop.conflicts.reopen(id), conflict.id);
    for (const page of pages) assert.deepEqual(sides(await listed(page)), sides(conflict));
    await reload(stage, pages, conflict.document);
    for (const page of pages) assert.deepEqual(sides(await listed(page)), sides(conflict));
  }
  await change(pages[1], link(1, String(hidden)));
  for (const page of pages) {
    assert.equal((await listed(page, "superseded")).id, conflict.id);
    assert.equal(await page.evaluate(() => globalThis.shop.conflicts.open), 0);
  }
  await end(pages);
});

test("an answer that is taken back twice says that it is open already", async () => {
  const pages = await pair(stage, "undo/twice");
  await disagree(pages, ({ stock }) => void (stock.apples!.quantity = 7), ({ stock }) => void (stock.apples!.quantity = 12));
  const { id } = await listed(pages[0]);
  const reopen = (page: Page, id: string) => page.evaluate((id) => globalThis.shop.conflicts.reopen(id).then(() => "done", (error: { code: string }) => error.code), id);
  assert.equal(await reopen(pages[0], id), "not-settled");
  await settle(pages[0], { pick: 1 });
  await listed(pages[1], "settled");
  assert.deepEqual([await reopen(pages[1], id), await reopen(pages[1], id), await reopen(pages[1], "0".repeat(32))], ["done", "not-settled", "conflict-gone"]);
  await end(pages);
});

test("two who merge the same texts at once see that it is open, and what stands there twice stands there once after the next answer", async () => {
  const pages = await pair(stage, "undo/texts");
  await disagree(pages, label("milk "), label("bread "));
  const conflict = await listed(pages[0]);
  const [shown, hidden] = conflict.candidates.map((side) => String(side.value));
  await listed(pages[1]);
  for (const page of pages) await network(page, false);
  for (const page of pages) await settle(page, { keep: "both" });
  for (const page of pages) await network(page, true);
  for (const page of pages) {
    await page.waitForFunction((wanted) => String((globalThis.shop.value.stock as Record<string, unknown>).note) === wanted, `${shown}${hidden}${hidden}`);
    assert.deepEqual(sides(await listed(page)), sides(conflict));
  }
  await settle(pages[1], { keep: "both" });
  await settled(pages, conflict.id, ["stock", "note"], `${shown}${hidden}`);
  await end(pages);
});
