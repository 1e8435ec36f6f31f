// Puts each client together for a page, minified as its users would have it, and writes the recorded text as Yjs has it: `node build.mjs TRACE OUT`.

import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

import { build } from "esbuild";
import * as Y from "yjs";

const [trace, out] = process.argv.slice(2);
await mkdir(out, { recursive: true });
await build({
  entryPoints: ["automerge-repo.js", "yjs.js", "rejoin.js"],
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  external: ["/client/index.js"],
  logLevel: "warning",
});
await copyFile("node_modules/@automerge/automerge/dist/automerge.wasm", join(out, "automerge.wasm"));

const doc = new Y.Doc();
const text = doc.getText("text");
for (const { patches } of JSON.parse(gunzipSync(await readFile(trace)).toString()).txns) {
  for (const [at, deleted, inserted] of patches) {
    if (deleted > 0) text.delete(at, deleted);
    if (inserted) text.insert(at, inserted);
  }
}
await writeFile(join(out, "paper.yjs"), Y.encodeStateAsUpdate(doc));
