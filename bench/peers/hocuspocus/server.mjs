// Hocuspocus with its defaults, and documents in files. It owns no behaviour of its own: only where it listens and stores.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Database } from "@hocuspocus/extension-database";
import { Server } from "@hocuspocus/server";

const [folder] = process.argv.slice(2);
const file = (name) => join(folder, encodeURIComponent(name));

const server = new Server({
  address: "127.0.0.1",
  port: 0,
  quiet: true,
  extensions: [
    new Database({
      fetch: async ({ documentName }) => readFile(file(documentName)).catch(() => null),
      store: async ({ documentName, state }) => writeFile(file(documentName), state),
    }),
  ],
});
await server.listen();
console.log(`listening on http://127.0.0.1:${server.address.port}`);
