/** The element `<rejoin-conflicts>` in a browser, on conflicts made by hand: how it looks, its keys, and that everybody can use it. */

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import type { Page } from "playwright-core";

import type {} from "#modules/conflicts/element.js";

import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();
/** Where pictures go, to be looked at. */
const PICTURES = fileURLToPath(new URL("../../../target/screenshots/", import.meta.url));

type Axe = { run(): Promise<{ violations: { id: string; help: string; nodes: { html: string }[] }[] }> };

/** One conflict of each kind, on the page as `ground`, `conflicts` and the element. */
async function show(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const load = (name: string) => import(name);
    const [{ Ground, candidate, conflict }, { Conflicts }] = await Promise.all([load("/test/support/ground.js"), load("#modules/conflicts/list.js"), load("#modules/conflicts/element.js")]);
    const at = Date.now() - 240_000;
    const ann = (value: unknown, more: object = {}) => candidate("aa", value, { at, mine: true, ...more });
    const bo = (value: unknown, more: object = {}) => candidate("bb", value, { at: at + 60_000, ...more });
    const sides = (...candidates: unknown[]) => ({ candidates });
    globalThis.ground = new Ground([
      conflict("register", ["stock", "apples", "quantity"], sides(ann(7), bo(12, { shown: true }))),
      conflict("text", ["notes", 2], { keepsBoth: true, base: "Red apples from the south", ...sides(ann("Red apples from the north", { shown: true }), bo("Ripe red apples from the south")) }),
      conflict("delete", ["orders", 2], { kind: "delete-update", base: { who: "Cleo", cups: 2 }, ...sides(ann({ who: "Cleo", cups: 3 }), bo(undefined, { shown: true })) }),
      conflict("container", ["stock", "pears"], { kind: "container", keepsBoth: true, base: undefined, ...sides(ann({ quantity: 4, price: 2 }), bo({ quantity: 1, label: "Green pears" }, { shown: true })) }),
      conflict("counter", ["sold"], { kind: "counter-overwrite", keepsBoth: true, base: 5, ...sides(bo(0, { shown: true }), ann(8)) }),
      conflict("within", ["notes", "old"], { kind: "edit-in-deleted", base: "", ...sides(ann("still here")) }),
      conflict("mark", ["notes", "door", 9], { kind: "mark", mark: { name: "link", words: "our prices" }, base: "https://old.example", ...sides(ann("https://a.example", { shown: true }), bo("https://b.example")) }),
      conflict("rejected", ["archive", "2023"], { kind: "rejected", reason: "archive/** is read-only", ...sides(ann("late entry")) }),
      conflict("projected", ["stock", "plums", "quantity"], { state: "projected", policy: "sumDeltas@1", answer: 9, ...sides(ann(7), bo(12, { shown: true })) }),
    ]);
    globalThis.conflicts = new Conflicts(globalThis.ground);
    globalThis.ground.heard = (listed, declared, more) => globalThis.conflicts.heard(listed, declared, more);
    const calls: string[] = [];
    const element = document.createElement("rejoin-conflicts");
    element.document = {
      name: "lab/stock",
      conflicts: globalThis.conflicts,
      retry: (change: string) => calls.push(`retry ${change}`),
      discard: (change: string) => calls.push(`discard ${change}`),
      export: () => new Uint8Array([1]),
    };
    element.people = ({ actor }) => (actor === "aa" ? "Ann" : actor === "bb" ? "Bo" : undefined);
    element.setAttribute("open", "");
    document.documentElement.lang = "en";
    document.documentElement.style.colorScheme = "light dark";
    const main = document.createElement("main");
    main.style.cssText = "font: 16px/1.5 system-ui; max-width: 40rem; margin: 0 auto";
    const heading = document.createElement("h1");
    heading.textContent = "Stock";
    const part = document.createElement("h2");
    part.textContent = "Conflicts";
    main.append(heading, part, element);
    document.body.append(main);
    Object.assign(globalThis, { calls });
  });
}

async function opened(): Promise<Page> {
  const context = await stage.chromium.context();
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  await page.goto(stage.site.origin);
  await page.waitForFunction(() => "rejoin" in globalThis);
  await show(page);
  return page;
}

/** What axe finds. */
async function faults(page: Page): Promise<string[]> {
  await page.addScriptTag({ url: "/axe/axe.min.js" });
  return page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as { axe: Axe }).axe.run();
    return violations.map(({ id, help, nodes }) => `${id}: ${help} ${nodes.map(({ html }) => html.slice(0, 200)).join(" | ")}`);
  });
}

/** What the document was asked to write, as JSON. */
function answers(page: Page): Promise<string> {
  return page.evaluate(() => JSON.stringify(globalThis.ground.answers.map(([id, answer, note]) => [id, answer, ...(note ? [note] : [])])));
}

test("each kind is shown with its sides, light and dark, from phone to wide, and axe finds nothing", async () => {
  await mkdir(PICTURES, { recursive: true });
  const page = await opened();
  await page.getByRole("button", { name: "8 conflicts" }).waitFor();
  const card = page.getByRole("listitem", { name: "stock › apples › quantity: Two answers" });
  for (const words of ["Ann and Bo changed this without seeing each other.", "Before10", "shows now", "4 min ago"]) {
    assert.ok((await card.textContent())?.includes(words), words);
  }
  for (const [scheme, width] of [["light", 900], ["dark", 900], ["light", 390], ["dark", 390]] as const) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: 900 });
    assert.deepEqual(await faults(page), [], `${scheme} ${width}`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing sticks out");
    await page.screenshot({ path: `${PICTURES}conflicts-${scheme}-${width}.png`, fullPage: true });
  }
  await page.context().close();
});

test("keys pick, keep both, note and undo, and the focus goes on to the next", async () => {
  const page = await opened();
  await page.getByRole("button", { name: "8 conflicts" }).focus();
  await page.keyboard.press("2");
  await page.getByRole("button", { name: "7 conflicts" }).waitFor();
  const [picked] = JSON.parse(await answers(page)) as [string, unknown][];
  assert.deepEqual(picked, ["register", { pick: "bb".repeat(32) }]);
  await page.keyboard.press("u");
  await page.getByRole("button", { name: "8 conflicts" }).waitFor();
  // The first is a key, which can't hold both.
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("n");
  await page.keyboard.type("b is not a key here, nor is 1");
  await page.keyboard.press("Escape");
  await page.keyboard.press("b");
  await page.getByRole("button", { name: "7 conflicts" }).waitFor();
  const [, both] = JSON.parse(await answers(page)) as [unknown, unknown];
  assert.deepEqual(both, ["text", { keep: "both" }, "b is not a key here, nor is 1"]);
  await page.keyboard.press("1");
  await page.getByRole("button", { name: "6 conflicts" }).waitFor();
  assert.equal(JSON.parse(await answers(page)).length, 3);
  await page.getByText("2 earlier").click();
  await page.getByText("b is not a key here, nor is 1").waitFor();
  await page.getByRole("status").filter({ hasText: "6 conflicts" }).waitFor({ state: "attached" });
  await page.context().close();
});

test("either of two links is picked by its key, or none, or another one that is typed", async () => {
  const page = await opened();
  const card = page.getByRole("listitem", { name: "notes › door: Two links" });
  for (const words of ["Ann and Bo linked “our prices” to different places.", "Beforehttps://old.example"]) {
    assert.ok((await card.textContent())?.includes(words), `${words} in ${await card.textContent()}`);
  }
  const wanted: [string[], unknown][] = [
    [["2"], { pick: "bb".repeat(32) }],
    [["0"], { remove: true }],
    [["e", "x", "Backspace", ..."https://2.example", "Enter"], { value: "https://2.example" }],
  ];
  for (const [index, [keys, answer]] of wanted.entries()) {
    await card.focus();
    for (const key of keys) await page.keyboard.press(key);
    await page.getByRole("button", { name: "7 conflicts" }).waitFor();
    assert.deepEqual((JSON.parse(await answers(page)) as unknown[])[index], ["mark", answer]);
    await page.keyboard.press("u");
    await page.getByRole("button", { name: "8 conflicts" }).waitFor();
  }
  // Nothing is no link: that has a key of its own.
  await page.keyboard.press("Escape");
  await card.getByRole("button", { name: "No link" }).waitFor();
  // Of three the third has its key as well.
  await page.evaluate(() => {
    const { ground } = globalThis;
    ground.tell(ground.listed.map((one) => (one.id === "mark" ? { ...one, candidates: [...one.candidates, { ...one.candidates[1]!, value: "https://c.example", actor: "cc", change: "cc".repeat(32) }] } : one)));
  });
  const three = page.getByRole("listitem", { name: "notes › door: 3 links" });
  await three.focus();
  await page.keyboard.press("3");
  await page.getByRole("button", { name: "7 conflicts" }).waitFor();
  assert.deepEqual((JSON.parse(await answers(page)) as unknown[]).at(-1), ["mark", { pick: "cc".repeat(32) }]);
  await page.keyboard.press("u");
  await page.getByRole("button", { name: "8 conflicts" }).waitFor();
  // A word that is bold or is not takes no other value, and where one side took the mark away it is the side without.
  await page.evaluate(() => {
    const { ground } = globalThis;
    ground.tell(ground.listed.filter(({ id }) => id === "mark").map((one) => ({ ...one, base: undefined, mark: { name: "bold", words: "now" }, candidates: one.candidates.slice(0, 2).map((side, index) => ({ ...side, value: index === 0 ? true : undefined })) })));
  });
  const bold = page.getByRole("listitem", { name: "notes › door: Two formats" });
  await bold.waitFor();
  for (const words of ["Bo took the bold away from “now” while Ann changed it.", "Beforeno bold", "No bold"]) assert.ok((await bold.textContent())?.includes(words), words);
  assert.deepEqual(await bold.getByRole("button").allTextContents(), ["Keep this1", "Keep this2", "Add a noteN"]);
  await page.context().close();
});

test("what the server refused is tried again, edited, or let go; a refused answer is said on its card", async () => {
  const page = await opened();
  const card = page.getByRole("listitem", { name: "archive › 2023: Refused by the server" });
  assert.ok((await card.textContent())?.includes("archive/** is read-only"));
  assert.equal(await card.getByRole("button", { name: "Edit" }).count(), 0);
  await page.evaluate(() => void (document.querySelector("rejoin-conflicts")!.edit = ({ id }) => void (globalThis as unknown as { calls: string[] }).calls.push(`edit ${id}`)));
  for (const name of ["Try again", "Edit", "Discard"]) await card.getByRole("button", { name }).click();
  const calls = await page.evaluate(() => (globalThis as unknown as { calls: string[] }).calls);
  assert.deepEqual(calls, [`retry ${"aa".repeat(32)}`, "edit rejected", `discard ${"aa".repeat(32)}`]);
  const [download] = await Promise.all([page.waitForEvent("download"), card.getByRole("button", { name: "Save a copy" }).click()]);
  assert.equal(download.suggestedFilename(), "lab-stock.changes");
  await page.evaluate(() => {
    globalThis.ground.resolve = async () => {
      throw new Error("it has three sides now");
    };
  });
  await page.getByRole("button", { name: "8 conflicts" }).focus();
  await page.keyboard.press("1");
  await page.getByRole("alert").filter({ hasText: "it has three sides now" }).waitFor();
  await page.context().close();
});

test("what the list has no room for is said in words, and shown when somebody asks", async () => {
  const page = await opened();
  await page.evaluate(() => {
    const { ground } = globalThis;
    const [first, ...others] = ground.listed;
    if (!first) throw new Error("there are conflicts");
    ground.whole = [{ ...first, version: 2 }];
    ground.more = 1_200;
    ground.tell([{ ...first, version: 2, cut: true, candidates: first.candidates.map(({ value, ...side }) => ({ ...side, value: undefined })) }, ...others]);
  });
  await page.getByText("1200 more are not shown here. They follow when some of these are settled.").waitFor();
  const card = page.getByRole("listitem", { name: "stock › apples › quantity: Two answers" });
  assert.ok((await card.textContent())?.includes("There is more to this than the list has room for."));
  assert.equal(await card.getByRole("button", { name: "Keep this: Bo" }).count(), 0);
  await card.getByRole("button", { name: "Show it" }).click();
  await card.getByText("12", { exact: true }).waitFor();
  assert.deepEqual(await faults(page), []);
  // Another list with the same leaves it as it is.
  await page.evaluate(() => {
    globalThis.ground.more = 0;
    globalThis.ground.tell([...globalThis.ground.listed]);
  });
  await page.waitForFunction(() => document.querySelector("rejoin-conflicts")?.shadowRoot?.querySelector<HTMLElement>(".more")?.hidden);
  await card.getByRole("button", { name: "Keep this: Bo" }).click();
  await page.getByRole("button", { name: "7 conflicts" }).waitFor();
  assert.deepEqual(JSON.parse(await answers(page)), [["register", { pick: "bb".repeat(32) }]]);
  await page.context().close();
});

test("a rule of the application's own runs in a real worker, and one that loops does not hold up the page", async () => {
  const page = await opened();
  const module = (body: string) => `data:text/javascript,${encodeURIComponent(`export default ({ base, candidates }) => ${body}`)}`;
  const listed = async (body: string) =>
    page.evaluate(async (module) => {
      const { customRule, policy } = (await import(`${"#modules/conflicts/policy.js"}`)) as typeof import("#modules/conflicts/policy.js");
      globalThis.conflicts.setPolicies([policy("stock/apples/quantity", customRule({ name: "own", version: 1, module }))]);
      return new Promise<{ answer: unknown; fault: string | undefined }>((resolve) => {
        const stop = globalThis.conflicts.subscribe((list) => {
          const first = list.find(({ id }) => id === "register");
          if (first?.state !== "projected" && first?.fault === undefined) return;
          resolve({ answer: first.answer, fault: first.fault });
          queueMicrotask(() => stop());
        });
      });
    }, module(body));
  assert.equal((await listed("Math.max(...candidates.map((side) => side.value)) - base")).answer, 2);
  const { answer, fault } = await listed("undefined");
  assert.deepEqual([answer, fault], [undefined, undefined], "nothing is to be there");
  assert.match((await listed("candidates[0].value")).fault ?? "", /answered differently/);
  assert.match((await listed("{ globalThis.n = (globalThis.n ?? 0) + 1; return globalThis.n }")).fault ?? "", /answered differently/);
  assert.match((await listed("{ throw new Error('no idea') }")).fault ?? "", /threw: no idea/);
  assert.match((await listed("{ for (;;); }")).fault ?? "", /did not answer in time/);
  assert.match((await listed("}")).fault ?? "", /can't be loaded/);
  await page.context().close();
});
