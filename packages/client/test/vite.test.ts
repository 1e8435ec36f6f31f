/** The packed package in a project of Vite: the README's lines compile strictly, are built, and run in the browser. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { build, createServer, preview } from "vite";

import { Chromium } from "./support/browser.js";
import { SyncServer } from "./support/server.js";
import { test } from "./timed.js";

const PACKAGE = fileURLToPath(new URL("../", import.meta.url));
const README = fileURLToPath(new URL("../../../README.md", import.meta.url));
const run = promisify(execFile);

let project: string;
let chromium: Chromium;

before(async () => {
  project = await mkdtemp(join(tmpdir(), "rejoin-vite-"));
  chromium = await Chromium.start();
  const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", project], { cwd: PACKAGE });
  await writeFile(join(project, "package.json"), JSON.stringify({ name: "groceries", private: true, type: "module" }));
  // It depends on nothing, so that nothing is asked of a registry.
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", join(project, stdout.trim())], { cwd: project });
  const strict = { strict: true, noEmit: true, skipLibCheck: false, target: "ES2022", module: "ESNext", moduleResolution: "bundler", lib: ["ES2024", "DOM"], types: [] };
  await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: strict, include: ["src"] }));
  await writeFile(join(project, "index.html"), '<!doctype html><title>groceries</title><script type="module" src="/src/main.ts"></script>');
  await mkdir(join(project, "src"));
});

after(async () => {
  await chromium?.remove();
  if (project) await rm(project, { recursive: true, force: true });
});

/** The README's lines, for the server at `url`. */
async function snippet(url: string): Promise<string> {
  const [, lines] = /```ts\n(import \{ connect[^]*?)```/.exec(await readFile(README, "utf8")) ?? [];
  if (!lines?.includes("ws://127.0.0.1:8787/sync")) throw new Error("the README shows how a browser connects");
  return lines.replace("ws://127.0.0.1:8787/sync", url);
}

/** Opens the page and waits until its lines say that what they wrote is saved on the server. */
async function runs(origin: string): Promise<void> {
  const page = await (await chromium.context()).newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  const saved = page.waitForEvent("console", { predicate: (message) => /^\d+ synced 0$/.test(message.text()), timeout: 30_000 });
  await page.goto(origin);
  await saved.catch((error: Error) => assert.fail(`${error.message} ${errors.join()}`));
  assert.deepEqual(errors, []);
  await page.close();
}

test("the README's lines compile, are built by Vite, and run", async () => {
  await writeFile(join(project, "src/main.ts"), await snippet("ws://127.0.0.1:9/sync"));
  await run(process.execPath, [join(PACKAGE, "node_modules/typescript/bin/tsc"), "-p", project]);
  const previewed = await preview({ root: project, configFile: false, logLevel: "error", preview: { host: "127.0.0.1", port: 0 } });
  const origin = (previewed.resolvedUrls?.local[0] as string).replace(/\/$/, "");
  const server = await SyncServer.start(origin);
  try {
    await writeFile(join(project, "src/main.ts"), await snippet(server.url));
    await build({ root: project, configFile: false, logLevel: "error" });
    await runs(origin);
  } finally {
    await previewed.close();
    await server.remove();
  }
});

test("they run in Vite's development server, with the package left as it is", async () => {
  const vite = await createServer({
    root: project,
    configFile: false,
    logLevel: "error",
    optimizeDeps: { exclude: ["@rejoin/client"] },
    server: { host: "127.0.0.1", port: 0 },
  });
  await vite.listen();
  const origin = (vite.resolvedUrls?.local[0] as string).replace(/\/$/, "");
  const server = await SyncServer.start(origin);
  try {
    await writeFile(join(project, "src/main.ts"), await snippet(server.url));
    await runs(origin);
  } finally {
    await vite.close();
    await server.remove();
  }
});
