// A document of automerge-repo in a page, as its own documentation sets it up: IndexedDB and WebSocket, the module loaded as a file.

import { next as Automerge } from "@automerge/automerge/slim";
import { Repo, initializeWasm } from "@automerge/automerge-repo/slim";
import { BrowserWebSocketClientAdapter } from "@automerge/automerge-repo-network-websocket";
import { IndexedDBStorageAdapter } from "@automerge/automerge-repo-storage-indexeddb";

async function start(url) {
  await initializeWasm(fetch(new URL("automerge.wasm", import.meta.url)));
  return new Repo({ network: [new BrowserWebSocketClientAdapter(url)], storage: new IndexedDBStorageAdapter("bench") });
}

/** Brings a saved document to the server; gives its name. */
export async function seed(url, bytes) {
  const repo = await start(url);
  return repo.import(bytes).url;
}

export async function open(url, name) {
  const repo = await start(url);
  const handle = await repo.find(name);
  return {
    read: () => handle.doc().text,
    insert: (at, text) => handle.change((doc) => Automerge.splice(doc, ["text"], at, 0, text)),
    subscribe: (heard) => handle.on("change", heard),
  };
}
