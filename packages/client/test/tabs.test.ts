/** Several tabs on one store in a real browser: one connection, followers, and who takes over when the leader goes. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

import type { BrowserContext, Page } from "playwright-core";

import { crash, inWorkers, joinDocument, load, open, synced, titles, write } from "./support/browser.js";
import { Stage } from "./support/stage.js";
import { test } from "./timed.js";

const stage = new Stage();

/** Tabs of one browser, and how many connections each has made. */
class Browser {
  readonly sockets = new Map<Page, number>();

  constructor(
    readonly context: BrowserContext,
    readonly name: string,
  ) {}

  async tab(): Promise<Page> {
    const page = await open(this.context, stage.site.origin);
    page.on("websocket", () => this.sockets.set(page, (this.sockets.get(page) ?? 0) + 1));
    await joinDocument(page, stage.server.url, { name: this.name });
    return page;
  }

  /** The first tab, which leads, and others. */
  async tabs(count: number): Promise<Page[]> {
    const pages = [await this.tab()];
    await leads(pages[0] as Page);
    while (pages.length < count) pages.push(await this.tab());
    return pages;
  }
}

async function browser(name: string): Promise<Browser> {
  return new Browser(await stage.chromium.context(), name);
}

async function leads(page: Page): Promise<void> {
  await page.waitForFunction(() => globalThis.client.status.leads);
}

/** Stops a tab's worker in the middle of a step, as an endless loop does, until the function given is called. */
async function hang(page: Page): Promise<() => void> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const asked = once(server, "request") as Promise<[unknown, ServerResponse]>;
  const [worker] = page.workers();
  assert.ok(worker, "the tab has a worker");
  const hangs = worker.evaluate((url) => {
    const request = new XMLHttpRequest();
    request.open("GET", url, false);
    request.send();
  }, `http://127.0.0.1:${port}/`);
  const [, response] = await asked;
  return () => {
    response.writeHead(200, { "access-control-allow-origin": "*" }).end();
    hangs.finally(() => server.close()).catch(() => {});
  };
}

/** The tab among these that leads, once one does. */
async function leader(pages: Page[]): Promise<Page> {
  return Promise.any(pages.map((page) => leads(page).then(() => page)));
}

test("five tabs have one connection, see each other, and go on when the leader crashes", async () => {
  const tabs = await browser("notes/five");
  const [first, ...others] = await tabs.tabs(5);
  const bob = await (await browser("notes/five")).tab();
  const pages = [first as Page, ...others];
  for (const [index, page] of pages.entries()) await write(page, `tab ${index}`);
  const written = pages.map((_, index) => `tab ${index}`);
  for (const page of [...pages, bob]) await titles(page, ...written);
  for (const page of pages) await synced(page);
  assert.deepEqual([...tabs.sockets.values()], [1], "the tabs have one connection");

  await crash(first as Page);
  const next = await leader(others);
  for (const page of others) await write(page, `after, ${others.indexOf(page)}`);
  const all = [...written, ...others.map((_, index) => `after, ${index}`)];
  for (const page of [...others, bob]) await titles(page, ...all);
  for (const page of others) await synced(page);
  assert.deepEqual([...tabs.sockets.entries()].map(([page, count]) => [pages.indexOf(page), count]), [
    [0, 1],
    [pages.indexOf(next), 1],
  ]);
});

test("what a follower has saved and could tell nobody is sent once it has crashed, while the leader goes on", async () => {
  const tabs = await browser("notes/untold");
  // What its worker says to other tabs can be held.
  await inWorkers(tabs.context, stage.site.origin, `{
    const post = BroadcastChannel.prototype.postMessage;
    BroadcastChannel.prototype.postMessage = function (message) { if (!globalThis.isMute) post.call(this, message); };
  }`);
  const [first, second] = (await tabs.tabs(2)) as [Page, Page];
  await write(second, "told");
  await titles(first, "told");
  const [worker] = second.workers();
  assert.ok(worker, "the tab has a worker");
  await worker.evaluate(() => void Object.assign(globalThis, { isMute: true }));
  await write(second, "untold");
  await titles(first, "told");
  await crash(second);
  await titles(first, "told", "untold");
  await synced(first);
  const bob = await (await browser("notes/untold")).tab();
  await titles(bob, "told", "untold");
});

test("an edit made offline in a follower reaches the server though the leader crashes", async () => {
  const tabs = await browser("notes/offline");
  const [first, second] = (await tabs.tabs(2)) as [Page, Page];
  await second.evaluate(() => globalThis.client.goOffline());
  await first.waitForFunction(() => globalThis.doc.status.state === "offline");
  await write(second, "offline, in a follower");
  await titles(first, "offline, in a follower");
  assert.equal(await second.evaluate(() => globalThis.doc.status.pending), 1);
  await crash(first);
  await leads(second);
  await second.evaluate(() => globalThis.client.goOnline());
  await synced(second);
  const bob = await (await browser("notes/offline")).tab();
  await titles(bob, "offline, in a follower");
});

test("a follower's edit is acknowledged through the leader, and the follower takes over when the leader is closed", async () => {
  const tabs = await browser("notes/closed");
  const [first, second] = (await tabs.tabs(2)) as [Page, Page];
  await second.evaluate(async () => {
    const edit = globalThis.doc.change((draft) => draft.notes.push({ title: "from the follower", done: false }));
    await globalThis.doc.acknowledged(edit);
  });
  await first.evaluate(() => globalThis.client.close());
  await leads(second);
  await write(second, "leads now");
  await synced(second);
  // The tab that led comes back, and follows.
  await load(first, stage.site.origin);
  await joinDocument(first, stage.server.url, { name: "notes/closed" });
  await titles(first, "from the follower", "leads now");
  assert.equal(await first.evaluate(() => globalThis.client.status.leads), false);
  await synced(first);
});

test("a tab whose lock was taken from it writes nothing more as the leader, and loses no edit", async () => {
  const tabs = await browser("notes/taken");
  const [first, second] = (await tabs.tabs(2)) as [Page, Page];
  await write(first, "as the leader");
  await second.evaluate(() => void navigator.locks.request("rejoin:test#leader", { steal: true }, async () => {}));
  await leads(second);
  await first.waitForFunction(() => !globalThis.client.status.leads);
  await write(first, "as a follower");
  for (const page of [first, second]) {
    await titles(page, "as the leader", "as a follower");
    await synced(page);
  }
});

/**
 * What its lock stands for is then another tab's, the actor that it writes under with it. It hears of that when its worker goes on, and has
 * written under the same number as the other by then.
 */
test("a tab whose number was taken from it goes on under another one, and no edit is lost or refused", async () => {
  const tabs = await browser("notes/number");
  const [first, second] = (await tabs.tabs(2)) as [Page, Page];
  await write(second, "before");
  await synced(second);
  const author = (page: Page) => page.evaluate(async () => (await globalThis.doc.history).at(-1)?.actor);
  const actor = await author(second);
  const goOn = await hang(second);
  await second.evaluate(() => void globalThis.doc.change((draft) => draft.notes.push({ title: "in the one that hangs", done: false })));
  await first.evaluate(() => navigator.locks.request("rejoin:test#1", { steal: true }, async () => {}));
  const third = await tabs.tab();
  await write(third, "in the one that has its number");
  await synced(third);
  assert.equal(await author(third), actor, "both write under one actor");
  goOn();
  const pages = [first, second, third];
  const all = ["before", "in the one that has its number", "in the one that hangs"];
  for (const page of pages) await titles(page, ...all);
  await write(second, "after");
  await write(third, "later");
  for (const page of pages) {
    await titles(page, ...all, "after", "later");
    await synced(page);
    assert.equal(await page.evaluate(() => globalThis.doc.status.rejected), 0);
  }
  assert.deepEqual(await Promise.all(pages.map((page) => page.evaluate(async () => (await globalThis.client.inspect()).tab))), [0, 2, 1]);
  const writers = await first.evaluate(async () => (await globalThis.doc.history).slice(-2).map(({ actor, mine }) => ({ actor, mine })));
  assert.notEqual(writers[0]?.actor, writers[1]?.actor, "they have parted");
  assert.ok(writers.every(({ mine }) => mine), "what either writes is this device's own");
});

test("a tab that hangs while it leads is passed over, and follows with nothing lost when it goes on", async () => {
  const tabs = await browser("notes/stuck");
  const [first, second, third] = (await tabs.tabs(3)) as [Page, Page, Page];
  for (const page of [first, second, third]) page.setDefaultTimeout(45_000);
  await write(first, "before");
  await titles(second, "before");
  const goOn = await hang(first);
  // What is written in it now is on its page, and nowhere else.
  await first.evaluate(() => void globalThis.doc.change((draft) => draft.notes.push({ title: "in the one that hangs", done: false })));
  await write(second, "meanwhile");
  const next = await leader([second, third]);
  await synced(second);
  const bob = await (await browser("notes/stuck")).tab();
  await titles(bob, "before", "meanwhile");
  goOn();
  await first.waitForFunction(() => !globalThis.client.status.leads);
  for (const page of [first, second, third, bob]) {
    await titles(page, "before", "in the one that hangs", "meanwhile");
    await synced(page);
  }
  assert.equal(await next.evaluate(() => globalThis.client.status.leads), true);
});

/** Freezes a tab's page, as a browser does with one that nobody looks at. Chromium lets its worker go on. Gives what thaws it. */
async function freeze(page: Page): Promise<() => Promise<unknown>> {
  const devtools = await page.context().newCDPSession(page);
  const set = (state: "frozen" | "active") => devtools.send("Page.setWebLifecycleState", { state });
  await set("frozen");
  return () => set("active");
}

/** Adds a note, and does not wait for anything. */
function add(page: Page, title: string): Promise<void> {
  return page.evaluate((title) => void globalThis.doc.change((draft) => draft.notes.push({ title, done: false })), title);
}

test("a tab whose page is frozen while it leads goes on for the others, and shows what came when it is thawed", async () => {
  const tabs = await browser("notes/frozen-page");
  const [first, second] = (await tabs.tabs(2)) as [Page, Page];
  await write(first, "before");
  await synced(second);
  await add(first, "as it freezes");
  const thaw = await freeze(first);
  await second.evaluate(async () => {
    const edit = globalThis.doc.change((draft) => draft.notes.push({ title: "meanwhile", done: false }));
    await globalThis.doc.acknowledged(edit);
  });
  await thaw();
  for (const page of [first, second]) {
    await titles(page, "before", "as it freezes", "meanwhile");
    await synced(page);
  }
});

/** An operating system stops the worker with its page. */
test("a tab that is frozen whole while it leads is passed over, and follows with nothing lost or doubled when it is thawed", async () => {
  const tabs = await browser("notes/frozen");
  const [first, second, third] = (await tabs.tabs(3)) as [Page, Page, Page];
  const pages = [first, second, third];
  for (const page of pages) page.setDefaultTimeout(45_000);
  await write(first, "before");
  for (const page of pages) await synced(page);
  const goOn = await hang(first);
  await add(first, "as it freezes");
  const thaw = await freeze(first);
  await second.evaluate(async () => {
    const edit = globalThis.doc.change((draft) => draft.notes.push({ title: "meanwhile", done: false }));
    await globalThis.doc.acknowledged(edit);
  });
  // Only another tab can have brought it to the server.
  const next = await leader([second, third]);
  await write(third, "later");
  await synced(third);
  goOn();
  await thaw();
  await first.waitForFunction(() => !globalThis.client.status.leads);
  await write(first, "thawed");
  const bob = await (await browser("notes/frozen")).tab();
  for (const page of [...pages, bob]) {
    await titles(page, "before", "as it freezes", "meanwhile", "later", "thawed");
    await synced(page);
    assert.deepEqual(await page.evaluate(() => globalThis.doc.outbox), []);
  }
  assert.equal(await next.evaluate(() => globalThis.client.status.leads), true);
  const sockets = (page: Page) => tabs.sockets.get(page) ?? 0;
  assert.deepEqual(pages.map(sockets), pages.map((page) => (page === first || page === next ? 1 : 0)), "it makes no connection again");
});

/** Saves an edit in a follower while `stop` keeps the leader or the server from answering, and crashes it before `goOn`. */
async function crashUnanswered(t: TestContext, name: string, stop: (leader: Page) => Promise<() => void>): Promise<void> {
  const tabs = await browser(name);
  const [first, second] = (await tabs.tabs(2)) as [Page, Page];
  await write(second, "acknowledged");
  for (const page of [first, second]) await synced(page);
  const resume = await stop(first);
  let goOn = () => {
    goOn = () => {};
    resume();
  };
  t.after(() => goOn());
  await write(second, "saved");
  assert.deepEqual(await second.evaluate(() => [globalThis.doc.status.pending, globalThis.doc.status.unsaved]), [1, 0]);
  await crash(second);
  goOn();
  await titles(first, "acknowledged", "saved");
  await synced(first);
  // It has the number of the one that crashed, and writes under its actor.
  const third = await tabs.tab();
  await write(third, "after");
  const bob = await (await browser(name)).tab();
  for (const page of [first, third, bob]) {
    await titles(page, "acknowledged", "saved", "after");
    await synced(page);
    assert.deepEqual(await page.evaluate(() => [globalThis.doc.outbox, globalThis.doc.status.rejected]), [[], 0]);
  }
}

test("what a follower has saved arrives though the follower crashes while the server answers nothing", async (t) => {
  await crashUnanswered(t, "notes/unanswered", async () => {
    stage.server.signal("SIGSTOP");
    return () => stage.server.signal("SIGCONT");
  });
});

test("what a follower has saved arrives though the follower crashes while its leader hears nothing", async (t) => {
  await crashUnanswered(t, "notes/unheard", hang);
});
