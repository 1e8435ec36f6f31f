/** The examples' web server with a sync server behind it and a browser before it; looks at each page for what a reader could not use. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import axe from "axe-core";
import type { Page } from "playwright-core";

import { Chromium } from "./browser.js";
import { SyncServer } from "./server.js";

const SERVE = fileURLToPath(new URL("../../../../examples/serve.mjs", import.meta.url));
const PICTURES = fileURLToPath(new URL("../../../../target/screenshots", import.meta.url));
const SIZES = { wide: { width: 1280, height: 860 }, phone: { width: 390, height: 844 } };

export class Demo {
  /** Where pictures go. */
  readonly folder = PICTURES;
  chromium!: Chromium;
  server!: SyncServer;
  origin!: string;
  /** What nothing in a page has caught. */
  readonly #errors: string[] = [];
  #site: ChildProcess | undefined;

  async start(): Promise<void> {
    await mkdir(PICTURES, { recursive: true });
    // The server must know the page's address and the page the server's: the page's comes first.
    this.origin = await this.#spawn("0", "ws://127.0.0.1:9/sync");
    await this.stopServing();
    this.server = await SyncServer.start(this.origin, "--read-only", "archive/**");
    await this.serve();
    this.chromium = await Chromium.start();
  }

  async stop(): Promise<void> {
    await this.chromium?.remove();
    await this.server?.remove();
    await this.stopServing();
    assert.deepEqual(this.#errors, []);
  }

  /** Serves the pages; as another version of them if one is named. */
  async serve(release = ""): Promise<void> {
    await this.#spawn(new URL(this.origin).port, this.server.url, release);
  }

  async stopServing(): Promise<void> {
    const site = this.#site;
    this.#site = undefined;
    if (!site || site.exitCode !== null || site.signalCode !== null) return;
    const ended = once(site, "exit");
    site.kill();
    await ended;
  }

  /** A page in a browser of its own, with `document` or else an empty one; `first` is run in it before its own scripts. */
  async page(path: string, { document = `demo/${crypto.randomUUID()}`, first }: { document?: string | undefined; first?: () => void } = {}): Promise<Page> {
    const context = await this.chromium.context();
    await context.addInitScript((document) => localStorage.setItem("document", document), document);
    if (first) await context.addInitScript(first);
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.on("pageerror", (error) => this.#errors.push(error.stack ?? error.message));
    await page.setViewportSize(SIZES.wide);
    await page.goto(this.origin + path);
    return page;
  }

  /** Takes pictures of a state, wide and on a phone, light and dark, and sees that axe finds nothing in any of them. */
  async pictures(page: Page, state: string): Promise<void> {
    for (const [size, viewport] of Object.entries(SIZES)) {
      await page.setViewportSize(viewport);
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        await page.screenshot({ path: `${PICTURES}/${state}-${size}-${colorScheme}.png`, fullPage: size === "phone" });
        await this.#look(page, `${state}, ${size}, ${colorScheme}`);
      }
    }
    await page.setViewportSize(SIZES.wide);
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "no-preference" });
  }

  async #look(page: Page, what: string): Promise<void> {
    await page.evaluate(`globalThis.axe ?? (() => { ${axe.source} })()`);
    const found = await page.evaluate(async () => {
      const { violations } = await (globalThis as unknown as { axe: typeof axe }).axe.run();
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`);
    });
    assert.deepEqual(found, [], what);
  }

  async #spawn(...args: string[]): Promise<string> {
    const site = spawn(process.execPath, [SERVE, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    this.#site = site;
    const [line] = (await once(createInterface({ input: site.stdout as NodeJS.ReadableStream }), "line")) as [string];
    return line;
  }
}
