/** A real Chromium as a process of its own, so that it can be killed and started again on the same profile. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

import type * as rejoin from "#dist/index.js";

import { WORKER_COOKIE } from "./site.js";

declare global {
  /** What the tests' page loads. */
  // eslint-disable-next-line no-var
  var rejoin: typeof import("#dist/index.js");
  // eslint-disable-next-line no-var
  var client: rejoin.Client;
  // eslint-disable-next-line no-var
  var doc: rejoin.SyncDocument<Notes>;
}

/** The document of most tests. */
export type Notes = { notes: { title: string; done: boolean }[]; body: rejoin.Text; left: rejoin.Counter };

const FLAGS = [
  "--headless",
  "--hide-scrollbars",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-quic",
  "--no-first-run",
  "--no-default-browser-check",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--remote-debugging-port=0",
];

export class Chromium {
  readonly #profile: string;
  #child: ChildProcess | undefined;
  #browser: Browser | undefined;

  private constructor(profile: string) {
    this.#profile = profile;
  }

  /** One with an empty profile, in which its user has set `preferences`. */
  static async start(preferences?: object): Promise<Chromium> {
    const started = new Chromium(await mkdtemp(join(tmpdir(), "rejoin-chromium-")));
    if (preferences) {
      const folder = join(started.#profile, "Default");
      await mkdir(folder);
      await writeFile(join(folder, "Preferences"), JSON.stringify(preferences));
    }
    await started.start();
    return started;
  }

  async start(): Promise<void> {
    const program = process.env.REJOIN_CHROMIUM ?? "/usr/bin/chromium";
    const args = [...FLAGS, `--user-data-dir=${this.#profile}`, "about:blank"];
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
    this.#child = child;
    const said: string[] = [];
    const endpoint = new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stderr }).on("line", (line) => {
        said.push(line);
        const address = /DevTools listening on (\S+)/.exec(line)?.[1];
        if (address) resolve(address);
      });
      child.on("error", reject);
      child.on("exit", () => reject(new Error(`Chromium ended:\n${said.slice(-20).join("\n")}`)));
    });
    this.#browser = await chromium.connectOverCDP(await endpoint);
  }

  /** A context of its own, that shares nothing with others. */
  async context(): Promise<BrowserContext> {
    return this.#running().newContext();
  }

  /** The context of the profile, which survives the browser. */
  get profile(): BrowserContext {
    return this.#running().contexts()[0] as BrowserContext;
  }

  /** `kill -9` of the whole browser. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    await this.#browser?.close().catch(() => {});
  }

  /** Ends it and removes its profile. */
  async remove(): Promise<void> {
    await this.kill();
    // Helper processes of the browser write for a moment after it.
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  #running(): Browser {
    if (!this.#browser) throw new Error("the browser runs");
    return this.#browser;
  }
}

/** Runs a script in all workers of a context's pages of `origin` before the package does: they have a world of their own. */
export async function inWorkers(context: BrowserContext, origin: string, script: string): Promise<void> {
  await context.addCookies([{ url: origin, name: WORKER_COOKIE, value: encodeURIComponent(script) }]);
}

/** A page of `origin` in a context, with the package loaded. An error that nothing in it catches fails the test. */
export async function open(context: BrowserContext, origin: string): Promise<Page> {
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => {
    throw error;
  });
  await load(page, origin);
  return page;
}

/** Loads the page, or loads it again. */
export async function load(page: Page, origin: string): Promise<void> {
  await page.goto(origin);
  await page.waitForFunction(() => "rejoin" in globalThis);
}

/** Connects the page's client to the server at `url` and opens a document, as `client` and `doc`. */
export async function joinDocument(page: Page, url: string, options: { name?: string; offline?: boolean } = {}): Promise<void> {
  await page.evaluate(
    async ({ url, name, offline }) => {
      const { connect, Counter, Text } = globalThis.rejoin;
      globalThis.client = await connect(url, { store: "test", offline });
      const init = { notes: [] as [], body: new Text(), left: new Counter(3) };
      globalThis.doc = await globalThis.client.open<Notes>(name, { init });
    },
    { url, name: options.name ?? "notes/shared", offline: options.offline ?? false },
  );
}

/** Ends a tab as a defect of the browser does: with no word to anybody. */
export async function crash(page: Page): Promise<void> {
  const crashed = page.waitForEvent("crash");
  const devtools = await page.context().newCDPSession(page);
  // There is nobody left to answer.
  devtools.send("Page.crash").catch(() => {});
  await crashed;
}

/** The document's value. */
export function value(page: Page): Promise<unknown> {
  return page.evaluate(() => globalThis.doc.value);
}

/** Waits until the document is all there, and what is shown not only what was seen last. */
export async function loaded(page: Page): Promise<void> {
  await page.waitForFunction(() => !globalThis.doc.status.loading);
}

/** Waits until everything is saved on this device and on the server. */
export async function synced(page: Page): Promise<void> {
  await page.waitForFunction(() => globalThis.doc.status.state === "synced");
}

/** Waits until the titles of the notes are these, in any order. */
export async function titles(page: Page, ...wanted: string[]): Promise<void> {
  await page.waitForFunction((wanted) => {
    const titles = globalThis.doc.value.notes.map((note) => note.title);
    return titles.toSorted().join() === wanted.join();
  }, wanted.toSorted());
}

/** Adds a note; waits until it is saved on this device. */
export async function write(page: Page, title: string): Promise<void> {
  await page.evaluate(async (title) => {
    const edit = globalThis.doc.change((draft) => draft.notes.push({ title, done: false }));
    await globalThis.doc.saved(edit);
  }, title);
}
