/** A shop that several devices have, and what they do in it: edit without a network, find what they disagree about, and answer it. */

import assert from "node:assert/strict";

import type { Page } from "playwright-core";

import type { Answer, Conflict, ConflictKind, Counter, SyncDocument, Text } from "#dist/index.js";

import { load, open } from "./browser.js";
import type { Stage } from "./stage.js";

export type Item = { name: string; quantity: number; sold: Counter; label: Text };
export type Shop = { stock: Record<string, Item>; orders: { who: string; cups: number }[]; log: string[] };
export type Draft = (draft: Shop) => void;

declare global {
  // eslint-disable-next-line no-var
  var shop: SyncDocument<Shop>;
}

/** As whom somebody opens the shop, and whether without a network. */
type How = { author?: string | undefined; offline?: boolean };

/** Opens the shop on a page, which makes it if there may be none. */
async function enter(stage: Stage, page: Page, name: string, { author, offline = false }: How, isNew = false): Promise<void> {
  await page.evaluate(
    async ({ url, name, author, offline, isNew }) => {
      globalThis.client = await globalThis.rejoin.connect(url, { store: "shop", offline, ...(author && { author }) });
      globalThis.shop = await globalThis.client.open<Shop>(name, isNew ? { init: { stock: {}, orders: [], log: [] } } : {});
    },
    { url: stage.server.url, name, author, offline, isNew },
  );
}

/** Two devices that have the same shop. */
export async function pair(stage: Stage, name: string, authors: [string, string] | [] = []): Promise<[Page, Page]> {
  const pages: Page[] = [];
  for (const _ of ["ann", "bo"]) pages.push(await open(await stage.chromium.context(), stage.site.origin));
  for (const [index, page] of pages.entries()) await enter(stage, page, name, { author: authors[index] }, true);
  const [ann, bo] = pages as [Page, Page];
  await ann.evaluate(() => {
    const { Counter, Text } = globalThis.rejoin;
    globalThis.shop.change(({ stock, orders }) => {
      stock.apples = { name: "Apples", quantity: 10, sold: new Counter(5), label: new Text("red") };
      orders.push({ who: "Cleo", cups: 2 });
    });
  });
  await bo.waitForFunction(() => globalThis.shop.value.orders.length === 1);
  return [ann, bo];
}

export function change(page: Page, write: Draft): Promise<void> {
  return page.evaluate((source) => {
    globalThis.shop.change(new Function("draft", `const { Counter, Text } = globalThis.rejoin; (${source})(draft)`) as Draft);
  }, write.toString());
}

export function network(page: Page, isOnline: boolean): Promise<void> {
  return page.evaluate((isOnline) => (isOnline ? globalThis.client.goOnline() : globalThis.client.goOffline()), isOnline);
}

/** Both edit without a network, and come back. */
export async function disagree([ann, bo]: [Page, Page], annWrites: Draft, boWrites: Draft): Promise<void> {
  for (const page of [ann, bo]) await network(page, false);
  await change(ann, annWrites);
  await change(bo, boWrites);
  for (const page of [ann, bo]) await network(page, true);
}

/** The one conflict of a state, once it is there. */
export async function listed(page: Page, state: Conflict["state"] = "open"): Promise<Conflict> {
  await page.waitForFunction((state) => globalThis.shop.conflicts.list({ state }).length > 0, state);
  const found = await page.evaluate((state) => globalThis.shop.conflicts.list({ state }) as Conflict[], state);
  assert.equal(found.length, 1);
  return found[0] as Conflict;
}

/** The conflict, which must be the same on both devices but for whose each side is. */
export async function shared([ann, bo]: [Page, Page], kind: ConflictKind, path: Conflict["path"]): Promise<Conflict> {
  const [one, other] = [await listed(ann), await listed(bo)];
  const same = (conflict: Conflict) => ({ ...conflict, candidates: conflict.candidates.map(({ mine, ...side }) => side) });
  assert.deepEqual(same(one), same(other));
  assert.deepEqual([one.kind, one.path, one.document], [kind, path, await ann.evaluate(() => globalThis.shop.name)]);
  assert.deepEqual(one.candidates.map(({ mine }) => mine), other.candidates.map(({ mine }) => !mine));
  return one;
}

export async function settle(page: Page, answer: Answer, note?: string): Promise<void> {
  const { id } = await listed(page);
  await page.evaluate(({ id, answer, note }) => globalThis.shop.conflicts.resolve(id, answer, note === undefined ? {} : { note }), { id, answer, note });
}

export function value(page: Page): Promise<{ stock: Record<string, Record<string, unknown>>; orders: unknown[]; log: unknown[] }> {
  return page.evaluate(() => globalThis.shop.value as never);
}

export async function end(pages: [Page, Page]): Promise<void> {
  for (const page of pages) await page.context().close();
}

/** Whose side is which: the one whose value this is. */
export function pick(conflict: Conflict, value: unknown): Answer {
  const index = conflict.candidates.findIndex((side) => JSON.stringify(side.value) === JSON.stringify(value));
  assert.ok(index >= 0, JSON.stringify(conflict.candidates));
  return { pick: index };
}

/** Loads the pages again, and opens the shop as it was kept. */
export async function reload(stage: Stage, pages: readonly Page[], name: string, how: How = {}): Promise<void> {
  for (const page of pages) {
    await load(page, stage.site.origin);
    await enter(stage, page, name, how);
  }
}
