// The published sync server of automerge-repo, unchanged. It is told its folder and port by the environment; what port the system chose is said here.

import http from "node:http";

const [folder] = process.argv.slice(2);
process.env.DATA_DIR = folder;
process.env.PORT = "0";
const say = console.log;
console.log = console.error;
const listen = http.Server.prototype.listen;
http.Server.prototype.listen = function (...given) {
  this.once("listening", () => say(`listening on http://127.0.0.1:${this.address().port}`));
  return listen.apply(this, given);
};

await import("@automerge/automerge-repo-sync-server");
