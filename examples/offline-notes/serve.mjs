/**
 * Serves the Offline notes page, the Conflict lab at `/conflicts/`, and the client package that both use: `node serve.mjs PORT SYNC_URL`. Says
 * where, once it listens.
 *
 * Owns the files' addresses. The page learns the sync server's address from `/config.json`.
 */

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const FOLDERS = {
  "": new URL("./", import.meta.url),
  "conflicts/": new URL("../conflict-lab/", import.meta.url),
  "client/": new URL("../../packages/client/dist/", import.meta.url),
};
const TYPES = {
  css: "text/css",
  html: "text/html; charset=utf-8",
  js: "text/javascript",
  json: "application/json",
  svg: "image/svg+xml",
  wasm: "application/wasm",
  webmanifest: "application/manifest+json",
};

const [port = "0", sync = "ws://127.0.0.1:8787/sync"] = process.argv.slice(2);

const server = createServer(async (request, response) => {
  const path = new URL(request.url ?? "/", "http://page").pathname;
  if (path === "/conflicts") return response.writeHead(301, { location: "/conflicts/" }).end();
  const [, folder = "", file] = /^\/(client\/|conflicts\/)?((?:[\w-]+\/)*[\w-]+(?:\.[\w-]+)+)?$/.exec(path) ?? [];
  const name = file ?? (path === "/" || path === "/conflicts/" ? "index.html" : "");
  const type = TYPES[name.split(".").pop() ?? ""];
  response.setHeader("cache-control", "no-cache");
  if (path === "/config.json") {
    response.setHeader("content-type", TYPES.json).end(JSON.stringify({ sync }));
    return;
  }
  const bytes = type && (await readFile(new URL(name, FOLDERS[folder])).catch(() => undefined));
  if (bytes) response.setHeader("content-type", type).end(bytes);
  else response.writeHead(404).end();
});

server.on("error", (error) => {
  console.error(`the page can't be served: ${error.message}`);
  process.exit(1);
});
server.listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
