// A document of Yjs in a page, as its own documentation sets it up: y-indexeddb and y-websocket.

import { IndexeddbPersistence } from "y-indexeddb";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

/** Brings a saved document to the server; gives its name. */
export async function seed(url, bytes) {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, bytes);
  const provider = new WebsocketProvider(url, "paper", doc);
  await new Promise((resolve) => provider.once("sync", resolve));
  return "paper";
}

export async function open(url, name) {
  const doc = new Y.Doc();
  const kept = new IndexeddbPersistence("bench", doc);
  new WebsocketProvider(url, name, doc);
  await kept.whenSynced;
  const text = doc.getText("text");
  return {
    read: () => text.toString(),
    insert: (at, inserted) => text.insert(at, inserted),
    subscribe: (heard) => doc.on("update", heard),
  };
}
