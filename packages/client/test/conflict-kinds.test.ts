/** Each kind of conflict between two browsers and the real server: made offline, seen alike on both sides, settled, and reopened. */

import assert from "node:assert/strict";

import type { Page } from "playwright-core";

import type { Conflict } from "#dist/index.js";

import { open } from "./support/browser.js";
import { SyncServer } from "./support/server.js";
import { change, disagree, type Draft, end, listed, network, pair, pick, reload, settle, shared, type Shop, value } from "./support/shop.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

/** What a page is told that writes at the engine's own key. */
function refusals(page: Page, id: string): Promise<string[]> {
  return page.evaluate((id) => {
    const writes: ((draft: Record<string, unknown>) => void)[] = [
      (draft) => void (draft.$settled = { [id]: "1 1 settled 0 value human@1" }),
      (draft) => void Object.assign(draft, { $settled: 1 }),
    ];
    return writes.map((write) => {
      try {
        globalThis.shop.change(write as never);
        return "written";
      } catch (error) {
        return (error as { code: string }).code;
      }
    });
  }, id);
}

test("values beyond what a list has room for are cut, and had one by one", async () => {
  const pages = await pair(stage, "kinds/long");
  const [ann, bo] = pages;
  const long = (letter: string) => `({ stock }) => { for (let n = 0; n < 6; n++) stock["kind " + n] = ${JSON.stringify(letter)}.repeat(400_000); }`;
  for (const page of pages) await network(page, false);
  const write = (page: Page, source: string) => page.evaluate((source) => {
    globalThis.shop.change(new Function("draft", `(${source})(draft)`) as Draft);
  }, source);
  await write(ann, long("a"));
  await write(bo, long("b"));
  for (const page of pages) await network(page, true);
  for (const page of pages) {
    await page.waitForFunction(() => globalThis.shop.conflicts.list({ state: "open" }).length === 6);
    const told = await page.evaluate(async () => {
      const { conflicts } = globalThis.shop;
      const cut = conflicts.list().filter((conflict) => conflict.cut);
      const whole = await conflicts.get(cut[0]?.id ?? "");
      const lengths = (conflict: Conflict | undefined) => conflict?.candidates.map(({ value }) => (value as string | undefined)?.length);
      return [conflicts.more, cut.length, lengths(cut[0]), lengths(whole), whole?.cut];
    });
    // 5 fit into 4 MiB with two sides each.
    assert.deepEqual(told, [0, 1, [undefined, undefined], [400_000, 400_000], undefined]);
  }
  await bo.evaluate(async () => {
    const [cut] = globalThis.shop.conflicts.list().filter((conflict) => conflict.cut);
    await globalThis.shop.conflicts.resolve(cut?.id ?? "", { pick: 1 });
  });
  await ann.waitForFunction(() => globalThis.shop.conflicts.list({ state: "settled" }).length === 1);
  await end(pages);
});

test("two values in one place: both are listed with what was there before, settled on one side for both, and reopened", async () => {
  const pages = await pair(stage, "kinds/register");
  const [ann, bo] = pages;
  await disagree(pages, ({ stock }) => void (stock.apples!.quantity = 7), ({ stock }) => void (stock.apples!.quantity = 12));
  const conflict = await shared(pages, "register", ["stock", "apples", "quantity"]);
  assert.equal(conflict.base, 10);
  assert.deepEqual(conflict.candidates.map(({ value }) => value).toSorted(), [12, 7]);
  const shown = (await value(ann)).stock.apples?.quantity;
  const hidden = shown === 7 ? 12 : 7;
  assert.deepEqual(conflict.candidates.filter((side) => side.shown).map(({ value }) => value), [shown]);
  const inspected = await ann.evaluate(() => globalThis.shop.inspect(["stock", "apples", "quantity"]));
  assert.deepEqual([inspected.conflict?.id, inspected.value, inspected.pending], [conflict.id, shown, false]);
  await settle(bo, pick(conflict, hidden), "counted again");
  for (const page of pages) {
    const { id, settledBy, answer } = await listed(page, "settled");
    assert.deepEqual([id, settledBy?.note, answer], [conflict.id, "counted again", hidden]);
    assert.equal((await value(page)).stock.apples?.quantity, hidden);
    assert.equal(await page.evaluate(() => globalThis.shop.conflicts.open), 0);
  }
  assert.ok(!("$settled" in (await value(ann))));
  assert.deepEqual(await refusals(ann, conflict.id), ["reserved-key", "reserved-key"]);
  assert.equal((await listed(bo, "settled")).id, conflict.id);
  await ann.evaluate((id) => globalThis.shop.conflicts.reopen(id), conflict.id);
  for (const page of pages) assert.equal((await listed(page)).id, conflict.id);
  await end(pages);
});

test("who wrote and who decided is named on every device, after a reload and on the server, and a rule goes by it", async () => {
  const pages = await pair(stage, "kinds/authors", ["Ann", "Bo"]);
  const [ann, bo] = pages;
  await disagree(pages, ({ stock }) => void (stock.apples!.quantity = 7), ({ stock }) => void (stock.apples!.quantity = 12));
  const conflict = await shared(pages, "register", ["stock", "apples", "quantity"]);
  const said = Object.fromEntries(conflict.candidates.map(({ author, value }) => [author, value]));
  assert.deepEqual(said, { Ann: 7, Bo: 12 });
  for (const page of pages) {
    const ruled = await page.evaluate(() => {
      const { policy, prefer } = globalThis.rejoin;
      const { conflicts } = globalThis.shop;
      return [{ author: "Ann" }, { author: "Cleo" }, { role: "lead", authors: ["Cleo", "Bo"] as [string, string] }].map((whom) => {
        conflicts.setPolicies([policy("stock/*/quantity", prefer(whom))]);
        const { state, answer } = conflicts.list()[0] as Conflict;
        return [state, answer];
      });
    });
    assert.deepEqual(ruled, [["projected", 7], ["open", undefined], ["projected", 12]]);
    await page.evaluate(() => globalThis.shop.conflicts.setPolicies([]));
  }
  const before = Date.now();
  await settle(bo, pick(conflict, 7));
  const { settledBy } = await listed(ann, "settled");
  assert.deepEqual([settledBy?.author, settledBy?.change.length], ["Bo", 64]);
  assert.ok(Math.abs((settledBy?.at ?? 0) - before) < 60_000, "when it was decided");
  const told = (await (await fetch(`${stage.server.url.replace("ws", "http").replace("/sync", "")}/v1/documents/kinds%2Fauthors/conflicts`)).json()) as { conflicts: Conflict[] };
  assert.deepEqual(told.conflicts[0]?.candidates.map(({ author }) => author).toSorted(), ["Ann", "Bo"]);
  assert.deepEqual([told.conflicts[0]?.settledBy?.author, told.conflicts[0]?.settledBy?.at], ["Bo", settledBy?.at]);
  const authors = await ann.evaluate(async () => (await globalThis.shop.history).map(({ author, mine }) => `${author} ${mine}`));
  assert.ok(authors.includes("Ann true") && authors.includes("Bo false"), authors.join());
  // Somebody else signs in on the device.
  await reload(stage, [ann], "kinds/authors", { author: "Dee" });
  const again = await listed(ann, "settled");
  assert.deepEqual(again.candidates.map(({ author, value }) => [author, value]), conflict.candidates.map(({ author, value }) => [author, value]));
  await change(ann, ({ stock }) => void (stock.apples!.name = "Pippins"));
  assert.equal(await ann.evaluate(async () => (await globalThis.shop.history).at(-1)?.author), "Dee");
  const refused = await ann.evaluate(async (url) => {
    const codes: unknown[] = [];
    for (const author of ["", "é".repeat(129)]) {
      await globalThis.rejoin.connect(url, { store: "other", author }).catch((error: { code: string }) => codes.push(error.code));
    }
    return codes;
  }, stage.server.url);
  assert.deepEqual(refused, ["bad-author", "bad-author"]);
  await end(pages);
});

test("two opposite answers, given apart, are open again on both sides, and one more answer ends it", async () => {
  for (const [name, boWrites, other] of [
    ["kinds/opposite", ({ stock }) => void (stock.apples!.quantity = 12), 12],
    ["kinds/opposite-removal", ({ stock }) => void delete stock.apples, undefined],
  ] satisfies [string, Draft, unknown][]) {
    const pages = await pair(stage, name);
    await disagree(pages, ({ stock }) => void (stock.apples!.quantity = 7), boWrites);
    const sides = await listed(pages[0]);
    await listed(pages[1]);
    for (const page of pages) await network(page, false);
    const bos = sides.candidates.findIndex((side) => JSON.stringify(side.value) === JSON.stringify(other));
    await settle(pages[0], { pick: 1 - bos });
    await settle(pages[1], { pick: bos });
    for (const page of pages) await network(page, true);
    for (const page of pages) {
      await page.waitForFunction(() => globalThis.shop.status.state === "synced" && globalThis.shop.conflicts.open === 1);
    }
    const [one, two] = [await listed(pages[0]), await listed(pages[1])];
    assert.deepEqual([one.id, one.path], [two.id, sides.path]);
    await settle(pages[0], { pick: 0 });
    for (const page of pages) {
      await page.waitForFunction(() => globalThis.shop.status.state === "synced" && globalThis.shop.conflicts.open === 0);
    }
    assert.deepEqual(await value(pages[0]), await value(pages[1]));
    await end(pages);
  }
});

test("a conflict is the same after both pages are loaded again", async () => {
  const pages = await pair(stage, "kinds/again");
  await disagree(pages, ({ stock }) => void (stock.apples!.quantity = 7), ({ stock }) => void (stock.apples!.quantity = 12));
  const conflict = await shared(pages, "register", ["stock", "apples", "quantity"]);
  for (const page of pages) {
    await reload(stage, [page], conflict.document, { offline: true });
    const again = await listed(page);
    assert.deepEqual([again.id, again.base, again.candidates.map((side) => side.value)], [conflict.id, 10, conflict.candidates.map((side) => side.value)]);
  }
  await end(pages);
});

test("equal values are no conflict", async () => {
  const pages = await pair(stage, "kinds/equal");
  const write: Draft = ({ stock, log }) => {
    stock.apples!.quantity = 7;
    log.push("x");
  };
  await disagree(pages, write, write);
  for (const page of pages) {
    await page.waitForFunction(() => globalThis.shop.value.log.length === 2);
    assert.deepEqual(await page.evaluate(() => globalThis.shop.conflicts.listed), []);
  }
  await end(pages);
});

test("what was changed in something removed elsewhere is one conflict, and can be brought back", async () => {
  const pages = await pair(stage, "kinds/delete");
  const [ann] = pages;
  await disagree(pages, ({ orders }) => void (orders[0]!.cups = 3), ({ orders }) => void orders.splice(0, 1));
  const conflict = await shared(pages, "delete-update", (await listed(ann)).path);
  assert.deepEqual(conflict.base, { cups: 2, who: "Cleo" });
  await settle(ann, pick(conflict, { cups: 3, who: "Cleo" }));
  for (const page of pages) {
    await listed(page, "settled");
    await page.waitForFunction(() => globalThis.shop.value.orders.length === 1);
    assert.deepEqual((await value(page)).orders, [{ cups: 3, who: "Cleo" }]);
  }
  await end(pages);
});

test("steps of a counter that was put anew are listed, and can be added", async () => {
  const pages = await pair(stage, "kinds/counter");
  await disagree(pages, ({ stock }) => stock.apples!.sold.increment(3), (draft) => {
    draft.stock.apples!.sold = new (globalThis.rejoin.Counter)(0);
  });
  const conflict = await shared(pages, "counter-overwrite", ["stock", "apples", "sold"]);
  assert.equal(conflict.base, 5);
  await settle(pages[1], { keep: "both" });
  for (const page of pages) {
    await listed(page, "settled");
    await page.waitForFunction(() => (globalThis.shop.value.stock.apples!.sold as unknown) === 3);
  }
  await end(pages);
});

test("two objects made in one place are both listed, and merged key by key", async () => {
  const pages = await pair(stage, "kinds/container");
  const plums = (quantity: number, extra: string): Draft =>
    new Function("draft", `draft.stock.plums = { name: "Plums", quantity: ${quantity}, ${extra}: "yes" }`) as Draft;
  for (const page of pages) await network(page, false);
  await change(pages[0], plums(4, "sweet"));
  await change(pages[1], plums(9, "ripe"));
  for (const page of pages) await network(page, true);
  const conflict = await shared(pages, "container", ["stock", "plums"]);
  assert.equal(conflict.candidates.length, 2);
  await settle(pages[0], { keep: "both" });
  for (const page of pages) {
    await page.waitForFunction(() => {
      const plums = globalThis.shop.value.stock.plums as unknown as Record<string, unknown>;
      return plums.sweet === "yes" && plums.ripe === "yes";
    });
  }
  await end(pages);
});

test("rules answer on every device at once, write nothing, and can be changed", async () => {
  const pages = await pair(stage, "kinds/rules");
  await disagree(pages, ({ stock }) => void (stock.apples!.quantity = 7), ({ stock }) => void (stock.apples!.quantity = 12));
  await shared(pages, "register", ["stock", "apples", "quantity"]);
  const shown = (await value(pages[0])).stock.apples?.quantity;
  const answers = async (rule: "sumDeltas" | "min" | "max" | "human") => {
    const found = [];
    for (const page of pages) {
      found.push(
        await page.evaluate(async (rule) => {
          const { policy } = globalThis.rejoin;
          globalThis.shop.conflicts.setPolicies([policy("stock/*/quantity", globalThis.rejoin[rule]())]);
          const [conflict] = globalThis.shop.conflicts.list();
          return [conflict?.state, conflict?.policy, (await globalThis.shop.inspect(["stock", "apples", "quantity"])).value];
        }, rule),
      );
    }
    assert.deepEqual(found[0], found[1]);
    return found[0];
  };
  assert.deepEqual(await answers("sumDeltas"), ["projected", "sumDeltas@1", 9]);
  assert.deepEqual(await answers("max"), ["projected", "max@1", 12]);
  assert.deepEqual(await answers("min"), ["projected", "min@1", 7]);
  assert.deepEqual(await answers("human"), ["open", "human@1", shown]);
  for (const page of pages) {
    assert.equal((await value(page)).stock.apples?.quantity, shown);
    assert.deepEqual(await page.evaluate(() => globalThis.shop.outbox), []);
  }
  await end(pages);
});

test("what the server refuses is listed with its reason, and let go", async () => {
  const server = await SyncServer.start(stage.site.origin, "--read-only", "archive/**");
  const page = await open(await stage.chromium.context(), stage.site.origin);
  await page.evaluate(async (url) => {
    globalThis.client = await globalThis.rejoin.connect(url, { store: "shop" });
    globalThis.shop = await globalThis.client.open<Shop>("archive/2023");
    globalThis.shop.change((draft) => void ((draft as unknown as { note: string }).note = "late entry"));
  }, server.url);
  const conflict = await listed(page);
  assert.deepEqual([conflict.kind, conflict.path, conflict.candidates.filter((side) => !side.shown).map((side) => [side.value, side.mine])], ["rejected", ["note"], [["late entry", true]]]);
  assert.match(conflict.reason ?? "", /archive/);
  // Another document goes on beside it.
  const beside = await page.evaluate(async () => {
    const other = await globalThis.client.open<{ note: string }>("open/2024");
    await other.acknowledged(other.change((draft) => void (draft.note = "on time")));
    return [other.status.state, other.status.pending, globalThis.shop.status.state];
  });
  assert.deepEqual(beside, ["synced", 0, "rejected"]);
  assert.equal(await page.evaluate((change) => globalThis.shop.discard(change), conflict.candidates[0]!.change), true);
  await page.waitForFunction(() => globalThis.shop.conflicts.list().length === 0);
  await page.context().close();
  await server.remove();
});
