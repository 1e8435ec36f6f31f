/** The web server of the tests' pages: the built package and what the tests bring. */

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

const PACKAGE = new URL("../../", import.meta.url);
const FOLDERS: Record<string, URL> = {
  client: new URL("dist/", PACKAGE),
  modules: new URL("modules/", PACKAGE),
  test: new URL("build/", PACKAGE),
  axe: new URL("node_modules/axe-core/", PACKAGE),
};
const TYPES: Record<string, string> = { js: "text/javascript", wasm: "application/wasm" };

/** What a page's workers are to run first. */
export const WORKER_COOKIE = "worker";

const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>test</title>
<script type="importmap">{ "imports": { "#dist/": "/client/", "#modules/": "/modules/" } }</script>
<script type="module">globalThis.rejoin = await import("#dist/index.js");</script>
`;

export class Site {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Serves them, and what else stands in `folders`, by their names. */
  static async start(folders: Record<string, URL> = {}): Promise<Site> {
    const places = { ...FOLDERS, ...folders };
    const server = createServer((request, response) => {
      const path = new URL(request.url ?? "/", "http://site").pathname;
      if (path === "/") return void response.setHeader("content-type", "text/html").end(PAGE);
      if (path === "/blank") return void response.setHeader("content-type", "text/html").end("<!doctype html><title>blank</title>");
      const [, folder = "", rest = ""] = /^\/(\w+)\/([\w./-]+)$/.exec(path) ?? [];
      const base = places[folder];
      if (!base || rest.includes("..")) return void response.writeHead(404).end();
      const type = TYPES[rest.split(".").pop() ?? ""] ?? "application/octet-stream";
      readFile(fileURLToPath(new URL(rest, base))).then(
        (bytes) => {
          const first = rest === "worker.js" ? new RegExp(`${WORKER_COOKIE}=([^;]+)`).exec(request.headers.cookie ?? "")?.[1] : undefined;
          // Also for pages without an origin.
          response.setHeader("access-control-allow-origin", "*");
          response.setHeader("content-type", type).end(first ? `${decodeURIComponent(first)}\n${bytes}` : bytes);
        },
        () => response.writeHead(404).end(),
      );
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Site(server);
  }

  /** The pages' origin. */
  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
