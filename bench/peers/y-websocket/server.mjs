// The server of y-websocket with LevelDB, as its own documentation sets it up. It owns no behaviour of its own: only where it listens and stores.

import http from "node:http";
import { setPersistence, setupWSConnection } from "@y/websocket-server/utils";
import WebSocket from "ws";
import { LeveldbPersistence } from "y-leveldb";
import * as Y from "yjs";

const [folder] = process.argv.slice(2);
const store = new LeveldbPersistence(folder);

setPersistence({
  provider: store,
  bindState: async (name, document) => {
    const stored = await store.getYDoc(name);
    store.storeUpdate(name, Y.encodeStateAsUpdate(document));
    Y.applyUpdate(document, Y.encodeStateAsUpdate(stored));
    document.on("update", (update) => store.storeUpdate(name, update));
  },
  writeState: async () => {},
});

const sockets = new WebSocket.Server({ noServer: true });
sockets.on("connection", setupWSConnection);
const server = http.createServer();
server.on("upgrade", (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (connection) => sockets.emit("connection", connection, request));
});
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
