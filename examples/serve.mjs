/**
 * Serves the examples' pages and the client package that they use: `node serve.mjs PORT SYNC_URL [RELEASE]`. Says where, once it listens.
 *
 * Owns addresses, puts icons into pages and packages into scripts, and names the version of all files together, by which the service worker knows a new one.
 * `RELEASE`, if given, makes another version of the same files. Pages learn the sync server's address from `/config.json`.
 */

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";

import { codemirror } from "./shared/codemirror.mjs";
import { iconModule, withIcons } from "./shared/icons.mjs";

const HERE = new URL("./", import.meta.url);
const CLIENT = new URL("../packages/client/", import.meta.url);
/** What stands where. The first that fits counts. */
const PLACES = [
  ["/client/", new URL("dist/", CLIENT)],
  ["/shared/fonts/", new URL("node_modules/@fontsource-variable/figtree/files/", CLIENT)],
  ["/shared/", new URL("shared/", HERE)],
  ["/notes/", new URL("offline-notes/", HERE)],
  ["/conflicts/", new URL("conflict-lab/", HERE)],
  ["/", new URL("door/", HERE)],
].filter(([, folder]) => existsSync(folder));
/** Addresses that somebody may guess. */
const ALSO = { "/lab": "/conflicts/", "/conflict-lab": "/conflicts/", "/offline-notes": "/notes/" };
const TYPES = {
  css: "text/css",
  html: "text/html; charset=utf-8",
  js: "text/javascript",
  json: "application/json",
  png: "image/png",
  svg: "image/svg+xml",
  wasm: "application/wasm",
  webmanifest: "application/manifest+json",
  woff2: "font/woff2",
};

const [port = "0", sync = "ws://127.0.0.1:8787/sync", release = ""] = process.argv.slice(2);

/** Scripts that are in no file. */
const MADE = new Map([["/shared/icons.js", iconModule()], ...codemirror()]);

/** The file at an address; nothing if there is none. */
function read(path) {
  if (MADE.has(path)) return { type: TYPES.js, bytes: MADE.get(path) };
  const place = PLACES.find(([prefix]) => path.startsWith(prefix));
  if (!place || !/^\/(?:[\w-]+\/)*(?:[\w-]+(?:\.[\w-]+)+)?$/.test(path)) return undefined;
  const name = path.slice(place[0].length) || "index.html";
  const type = TYPES[name.split(".").pop()];
  try {
    const bytes = type && readFileSync(new URL(name, place[1]));
    return bytes && { type, bytes: name.endsWith(".html") ? withIcons(bytes.toString()) : bytes };
  } catch {
    return undefined;
  }
}

/** What a device keeps so that the pages open without a network. */
function kept() {
  const paths = [...MADE.keys(), "/shared/fonts/figtree-latin-wght-normal.woff2"];
  for (const [prefix, folder] of PLACES) {
    if (prefix === "/shared/fonts/") continue;
    const names = readdirSync(folder, { recursive: true }).map(String);
    const pages = names.filter((name) => name !== "sw.js" && /\.\w+$/.test(name) && TYPES[name.split(".").pop()]);
    // A folder's address is that of its page.
    paths.push(...pages.map((name) => prefix + name.replace(/^index\.html$/, "")));
  }
  return paths.sort();
}

/** The service worker, which is another one whenever any file is. */
function worker() {
  const paths = kept();
  const version = createHash("sha256").update(release);
  for (const path of paths) version.update(path).update(read(path)?.bytes ?? "");
  const script = readFileSync(new URL("shared/sw.js", HERE), "utf8");
  return `const VERSION = "${version.digest("hex").slice(0, 12)}";\nconst KEPT = ${JSON.stringify(paths)};\n${script}`;
}

const server = createServer((request, response) => {
  const path = new URL(request.url ?? "/", "http://page").pathname;
  response.setHeader("cache-control", "no-cache");
  if (path === "/config.json") return void response.setHeader("content-type", TYPES.json).end(JSON.stringify({ sync }));
  if (path === "/sw.js") return void response.setHeader("content-type", TYPES.js).end(worker());
  const folder = ALSO[path.replace(/\/$/, "")] ?? (PLACES.some(([prefix]) => prefix === `${path}/`) ? `${path}/` : undefined);
  if (folder) return void response.writeHead(308, { location: folder }).end();
  const file = read(path);
  if (file) response.setHeader("content-type", file.type).end(file.bytes);
  else response.writeHead(404).end();
});

server.on("error", (error) => {
  console.error(`the page can't be served: ${error.message}`);
  process.exit(1);
});
server.listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
