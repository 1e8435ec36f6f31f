/**
 * The same work in the same browser on Rejoin, Yjs and automerge-repo, each with its own server: `cargo xtask bench --browser --peers`.
 *
 * The document is the long recorded text, with all of its history. Times are the page's own, and count from where its script begins to load
 * the client.
 */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

import type { BrowserContext, Page } from "playwright-core";

import { Chromium } from "./support/browser.js";
import { Line } from "./support/line.js";
import { SyncServer } from "./support/server.js";
import { Site } from "./support/site.js";

const PEERS = fileURLToPath(new URL("../../../bench/peers/", import.meta.url));
const TURNS = 5;
const KEYS = 100;
/** Changes on each side while they are apart. */
const APART = 100;
/** Nothing has gone over a line for so long: whatever there was to say is said. */
const QUIET_MS = 1_500;
const LIMIT_MS = 180_000;

/** A document as each client's file in the folder of peers gives it. */
type Held = { read(): string; insert(at: number, text: string): void; subscribe(heard: () => void): void; isWhole?(): boolean };
type Module = { open(url: string, name: string): Promise<Held>; seed(url: string, bytes: Uint8Array): Promise<string> };

type Served = { url: string; stop(): Promise<void> };

type Peer = {
  label: string;
  /** The client's file. */
  script: string;
  /** What a page loads. */
  files: string[];
  serve(): Promise<Served>;
  /** The document as the client brings it to its server; none where it is there. */
  saved: Uint8Array | undefined;
};

type Opened = { open: number; readable: number; frame: number };

declare global {
  // eslint-disable-next-line no-var
  var held: Held;
}

/** A peer's server on a new folder. */
async function served(name: string): Promise<Served> {
  const data = await mkdtemp(join(tmpdir(), "rejoin-peer-"));
  const child: ChildProcess = spawn(process.execPath, ["server.mjs", data], { cwd: join(PEERS, name), stdio: ["ignore", "pipe", "ignore"] });
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const ended = once(child, "exit").then(() => "");
  const first = await Promise.race([once(lines, "line").then(([line]) => String(line)), ended]);
  const address = /http:\/\/(\S+)/.exec(first)?.[1];
  if (!address) throw new Error(`the server of ${name} does not say where it listens: ${first}`);
  const stop = async () => {
    child.kill();
    await ended;
    await rm(data, { recursive: true, force: true });
  };
  return { url: `ws://${address}`, stop };
}

async function peers(built: string, folder: string, site: Site): Promise<Peer[]> {
  const client = fileURLToPath(new URL("../dist/", import.meta.url));
  const out = await mkdtemp(join(tmpdir(), "rejoin-paper-"));
  const paper = join(out, "paper.automerge");
  const said = ["export", "--data", folder, "--document", "paper", "--format", "automerge", "--out", paper];
  await promisify(execFile)(process.env.REJOIN_SERVER as string, said);
  const saved = await readFile(paper);
  await rm(out, { recursive: true });
  const own = ["index.js", "worker.js", "rejoin_bg.wasm"].map((file) => join(client, file));
  const shared = await chunks(client, ["index.js", "worker.js"]);
  return [
    {
      label: "Rejoin",
      script: "rejoin.js",
      files: [...own, ...shared],
      saved: undefined,
      serve: async () => {
        const server = await SyncServer.on(folder, site.origin);
        return { url: server.url, stop: () => server.kill() };
      },
    },
    { label: "Yjs", script: "yjs.js", files: [join(built, "yjs.js")], saved: await readFile(join(built, "paper.yjs")), serve: () => served("y-websocket") },
    {
      label: "automerge-repo",
      script: "automerge-repo.js",
      files: ["automerge-repo.js", "automerge.wasm"].map((file) => join(built, file)),
      saved,
      serve: () => served("automerge-repo"),
    },
  ];
}

/** The files that others import, and what they import in turn. */
async function chunks(folder: string, names: string[]): Promise<string[]> {
  const found = new Set<string>();
  for (const next = [...names]; next.length > 0; ) {
    const text = await readFile(join(folder, next.pop() as string), "utf8");
    for (const [, name] of text.matchAll(/"\.\/(chunk-\w+\.js)"/g)) if (name && !found.has(name)) found.add(name), next.push(name);
  }
  return [...found].map((name) => join(folder, name));
}

async function blank(context: BrowserContext, site: Site): Promise<Page> {
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  await page.goto(`${site.origin}/blank`);
  return page;
}

/** Opens the document in a new page. */
async function open(context: BrowserContext, site: Site, { script }: Peer, url: string, name: string): Promise<{ page: Page; times: Opened }> {
  const page = await blank(context, site);
  const times = await page.evaluate(
    async ([path, url, name]) => {
      const begun = performance.now();
      const { open } = (await import(path)) as Module;
      const held = (globalThis.held = await open(url, name));
      const open_ms = performance.now() - begun;
      if (!held.read()) await new Promise<void>((resolve) => held.subscribe(() => held.read() && resolve()));
      document.body.textContent = held.read().slice(0, 5_000);
      const readable = performance.now() - begun;
      await new Promise<void>((seen) => requestAnimationFrame(() => setTimeout(seen)));
      return { open: open_ms, readable, frame: performance.now() - begun };
    },
    [`/peers/${script}`, url, name] as const,
  );
  return { page, times };
}

/** Waits until a page has all of the text with its history, and, if it is told how long that is, so much of it. */
async function holds(page: Page, length?: number): Promise<void> {
  const isThere = (length: number | undefined) =>
    (globalThis.held.isWhole?.() ?? true) && (length === undefined || globalThis.held.read().length === length);
  await page.waitForFunction(isThere, length, { polling: 100 });
}

/** Waits until nothing goes over the line any more. */
async function quiet(line: Line): Promise<void> {
  for (let last = -1; last !== line.carried.up + line.carried.down; ) {
    last = line.carried.up + line.carried.down;
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  }
}

async function type(page: Page, count: number, at: number): Promise<number[]> {
  return page.evaluate(
    async ([count, at]) => {
      const took: number[] = [];
      for (let n = 0; n < count; n += 1) {
        const begun = performance.now();
        globalThis.held.insert(at + n, "x");
        globalThis.held.read();
        // Subscribers are called before this goes on.
        await new Promise<void>((resolve) => queueMicrotask(resolve));
        took.push(performance.now() - begun);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return took;
    },
    [count, at] as const,
  );
}

const at = (values: number[], share: number): number => values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] as number;

async function measured(peer: Peer, site: Site, chromium: Chromium, length: number): Promise<Record<string, string>> {
  const server = await peer.serve();
  const line = await Line.open(server.url);
  try {
    let name = "paper";
    if (peer.saved) {
      const seeding = await blank(await chromium.context(), site);
      const bytes = Buffer.from(peer.saved).toString("base64");
      name = await seeding.evaluate(
        async ([path, url, bytes]) => ((await import(path)) as Module).seed(url, Uint8Array.from(atob(bytes), (byte) => byte.charCodeAt(0))),
        [`/peers/${peer.script}`, server.url, bytes] as const,
      );
      const check = await open(await chromium.context(), site, peer, server.url, name);
      await holds(check.page, length);
      await check.page.context().close();
      await seeding.context().close();
    }
    const context = await chromium.context();
    const newcomer = await open(context, site, peer, line.url, name);
    await holds(newcomer.page, length);
    await quiet(line);
    const cold = { ...line.carried };
    const keys = await type(newcomer.page, KEYS, 50_000);
    await quiet(line);
    await newcomer.page.close();

    line.down();
    const reloads: Opened[] = [];
    for (let turn = 0; turn < TURNS; turn += 1) {
      const { page, times } = await open(context, site, peer, line.url, name);
      reloads.push(times);
      await holds(page, length + KEYS);
      await page.close();
    }

    line.up();
    const here = await open(context, site, peer, line.url, name);
    const there = await open(await chromium.context(), site, peer, server.url, name);
    await Promise.all([here, there].map(({ page }) => holds(page, length + KEYS)));
    await quiet(line);
    line.down();
    await Promise.all([type(here.page, APART, 1_000), type(there.page, APART, 90_000)]);
    const before = { ...line.carried };
    line.up();
    await Promise.all([here, there].map(({ page }) => holds(page, length + KEYS + 2 * APART)));
    await quiet(line);
    const sizes = await Promise.all(peer.files.map(async (file) => gzipSync(await readFile(file), { level: 9 }).length));
    const [ms, kb] = [(value: number) => value.toFixed(value < 10 ? 1 : 0), (value: number) => (value / 1_000).toFixed(1)];
    return {
      "to load, gzipped, kB": kb(sizes.reduce((sum, size) => sum + size, 0)),
      "newcomer: text in a frame, ms": ms(newcomer.times.frame),
      "newcomer: over the line, up / down, kB": `${kb(cold.up)} / ${kb(cold.down)}`,
      "a key, in the page: p50 / p99, ms": `${ms(at(keys, 0.5))} / ${ms(at(keys, 0.99))}`,
      "reload without a network: editable, ms": ms(at(reloads.map(({ open }) => open), 0.5)),
      "reload without a network: text in a frame, ms": ms(at(reloads.map(({ frame }) => frame), 0.5)),
      [`reconnect, ${APART} here and ${APART} there, up / down, kB`]: `${kb(line.carried.up - before.up)} / ${kb(line.carried.down - before.down)}`,
    };
  } finally {
    await line.close();
    await server.stop();
  }
}

async function run(): Promise<void> {
  const [folder, built] = process.argv.slice(2);
  if (!folder || !built) throw new Error("the server's folder and that of the peers are missing");
  const site = await Site.start({ peers: pathToFileURL(`${built}/`) });
  const table = new Map<string, string[]>();
  try {
    const all = await peers(built, folder, site);
    console.log("the same work in the same browser:");
    let length: number | undefined;
    for (const peer of all) {
      const chromium = await Chromium.start();
      try {
        length ??= await lengthOf(peer, site, chromium);
        for (const [what, figure] of Object.entries(await measured(peer, site, chromium, length))) table.set(what, [...(table.get(what) ?? []), figure]);
        console.log(`  ${peer.label} is done`);
      } finally {
        await chromium.remove();
      }
    }
    console.log(`| | ${all.map(({ label }) => label).join(" | ")} |\n|---|${"--:|".repeat(all.length)}`);
    for (const [what, figures] of table) console.log(`| ${what} | ${figures.join(" | ")} |`);
  } finally {
    await site.stop();
  }
}

/** How long the text is, as the first of them has it. */
async function lengthOf(peer: Peer, site: Site, chromium: Chromium): Promise<number> {
  const server = await peer.serve();
  const { page } = await open(await chromium.context(), site, peer, server.url, "paper");
  await holds(page);
  const length = await page.evaluate(() => globalThis.held.read().length);
  await page.context().close();
  await server.stop();
  return length;
}

await run();
