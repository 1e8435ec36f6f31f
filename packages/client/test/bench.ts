/**
 * What a page with the package costs its reader, in a real browser with the real server: `cargo xtask bench --browser`.
 *
 * The document is the long text that the load generator has brought to the server's folder. Times are the page's own, and count from the
 * start of its first script.
 */

import type { BrowserContext, Page } from "playwright-core";

import { Chromium, load } from "./support/browser.js";
import { SyncServer } from "./support/server.js";
import { Site } from "./support/site.js";

/** A document with one long text. */
type Long = { text: import("#dist/index.js").Text };

const TURNS = 5;
const KEYS = 100;
const TYPING_MS = 10_000;

/** Runs in the page as soon as the package is there. */
const OPENS = `
  globalThis.times = {};
  globalThis.longest = 0;
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
  }).observe({ type: "longtask", buffered: true });
  const begun = performance.now();
  const now = () => performance.now() - begun;
  Object.defineProperty(globalThis, "rejoin", { configurable: true, set(rejoin) {
    Object.defineProperty(globalThis, "rejoin", { value: rejoin });
    globalThis.opening = (async () => {
      const [url, name] = JSON.parse(decodeURIComponent(location.hash.slice(1)));
      globalThis.client = await rejoin.connect(url, { store: "bench" });
      client.subscribe(({ connected }) => connected && (times.connected ??= now()));
      globalThis.doc = await client.open(name);
      times.open = now();
      times.hadView = doc.status.loading;
      const seen = Promise.withResolvers();
      doc.subscribe(({ value, status }) => {
        if (value.text && !times.readable) {
          times.readable = now();
          document.body.textContent = value.text.slice(0, 5000);
          requestAnimationFrame(() => setTimeout(() => seen.resolve(times.frame = now())));
        }
        if (status.state === "synced") times.synced ??= now();
      });
      await seen.promise;
    })();
  } });
`;

type Times = { connected: number; open: number; hadView: boolean; readable: number; frame: number; synced: number };

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number;
}

function line(what: string, ...figures: [number, string][]): void {
  console.log(`  ${what.padEnd(64)}${figures.map(([figure, unit]) => `${figure.toFixed(1)} ${unit}`).join(" / ")}`);
}

async function opened(context: BrowserContext, origin: string, url: string, name: string): Promise<Page> {
  const page = await context.newPage();
  page.setDefaultTimeout(120_000);
  page.on("pageerror", (error) => {
    throw error;
  });
  await page.addInitScript(OPENS);
  await load(page, `${origin}/#${encodeURIComponent(JSON.stringify([url, name]))}`);
  await page.evaluate(() => (globalThis as unknown as { opening: Promise<void> }).opening);
  return page;
}

async function times(page: Page): Promise<Times> {
  await page.waitForFunction(() => (globalThis as unknown as { times: Times }).times.synced);
  return page.evaluate(() => (globalThis as unknown as { times: Times }).times);
}

/** The longest task of a page's thread since this was asked last; 0 if none took 50 ms. */
function longest(page: Page): Promise<number> {
  return page.evaluate(() => {
    const tasks = globalThis as unknown as { longest: number };
    const { longest } = tasks;
    tasks.longest = 0;
    return longest;
  });
}

/** Main-thread time that a page's tasks took so far, in milliseconds. */
async function busy(page: Page): Promise<() => Promise<number>> {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable");
  return async () => {
    const { metrics } = await devtools.send("Performance.getMetrics");
    return (metrics.find(({ name }) => name === "TaskDuration")?.value ?? 0) * 1_000;
  };
}

/** Types into the middle of the text; gives how long each key kept the page, its subscriber included, and until it was saved. */
async function keys(page: Page, count: number): Promise<{ page: number[]; saved: number[] }> {
  return page.evaluate(async (count) => {
    const { doc } = globalThis as unknown as { doc: import("#dist/index.js").SyncDocument<Long> };
    const took = { page: [] as number[], saved: [] as number[] };
    doc.subscribe(({ patches }) => void patches.length);
    for (let n = 0; n < count; n += 1) {
      const begun = performance.now();
      const edit = doc.change((d) => d.text.insert(Math.min(50_000 + n, d.text.length), "x"));
      // Subscribers are called before this goes on.
      await new Promise<void>((resolve) => queueMicrotask(resolve));
      took.page.push(performance.now() - begun);
      await doc.saved(edit);
      took.saved.push(performance.now() - begun);
    }
    return took;
  }, count);
}

async function run(): Promise<void> {
  const [folder] = process.argv.slice(2);
  if (!folder) throw new Error("the server's folder is missing");
  const site = await Site.start();
  const chromium = await Chromium.start();
  const server = await SyncServer.on(folder, site.origin);
  try {
    const context = await chromium.context();
    const first = await opened(context, site.origin, server.url, "paper");
    const cold = await times(first);
    const length = await first.evaluate(() => (globalThis.doc.value as unknown as { text: string }).text.length);
    console.log(`a text of ${length} characters, in the same browser:`);
    line("newcomer: readable / after connecting / all there", [cold.readable, "ms"], [cold.readable - cold.connected, "ms"], [cold.synced, "ms"]);
    line("… the page's longest task (0: none of 50 ms)", [await longest(first), "ms"]);
    await first.evaluate(() => globalThis.client.close());
    await first.close();
    await warm(context, site.origin, server.url, "paper", "the long text again");
    await typing(chromium, context, site.origin, server.url);
  } finally {
    await chromium.remove();
    await server.kill();
    await site.stop();
  }
}

async function warm(context: BrowserContext, origin: string, url: string, name: string, what: string): Promise<void> {
  const taken: Times[] = [];
  for (let turn = 0; turn < TURNS; turn += 1) {
    const page = await opened(context, origin, url, name);
    taken.push(await times(page));
    await page.evaluate(() => globalThis.client.close());
    await page.close();
  }
  const of = (pick: (times: Times) => number): [number, string] => [median(taken.map(pick)), "ms"];
  line(`${what}: editable / seen in a frame / all there`, of(({ open }) => open), of(({ frame }) => frame), of(({ synced }) => synced));
}

async function typing(chromium: Chromium, context: BrowserContext, origin: string, url: string): Promise<void> {
  const ann = await opened(context, origin, url, "paper");
  await times(ann);
  const alone = await keys(ann, KEYS);
  const at = (values: number[], share: number) => values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] as number;
  line("a key in the long text, in the page: p50 / p99", [at(alone.page, 0.5), "ms"], [at(alone.page, 0.99), "ms"]);
  line("… until saved on the device: p50 / p99", [at(alone.saved, 0.5), "ms"], [at(alone.saved, 0.99), "ms"]);
  const bob = await opened(await chromium.context(), origin, url, "paper");
  await times(bob);
  const spent = await busy(ann);
  await ann.evaluate(() => void globalThis.doc.subscribe(({ patches }) => void patches.length));
  await longest(ann);
  const [before, begun] = [await spent(), performance.now()];
  const typed = await bob.evaluate(async (ms) => {
    const { doc } = globalThis as unknown as { doc: import("#dist/index.js").SyncDocument<Long> };
    const end = performance.now() + ms;
    let count = 0;
    for (; performance.now() < end; count += 1) {
      doc.change((d) => d.text.insert(count % 1_000, "y"));
      doc.commit();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return count;
  }, TYPING_MS);
  const wall = performance.now() - begun;
  line("another types: changes a second / the page's thread is busy", [(typed * 1_000) / wall, ""], [((await spent() - before) * 100) / wall, "%"]);
  line("… the page's longest task (0: none of 50 ms)", [await longest(ann), "ms"]);
  const beside = await Promise.all([keys(ann, KEYS), bob.evaluate(async () => {
    for (let n = 0; n < 60; n += 1) {
      (globalThis.doc as unknown as import("#dist/index.js").SyncDocument<Long>).change((d) => d.text.insert(n, "z"));
      globalThis.doc.commit();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })]);
  line("a key while another types, in the page: p50 / p99", [at(beside[0].page, 0.5), "ms"], [at(beside[0].page, 0.99), "ms"]);
  line("… until saved on the device: p50 / p99", [at(beside[0].saved, 0.5), "ms"], [at(beside[0].saved, 0.99), "ms"]);
}

await run();
