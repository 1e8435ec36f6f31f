/**
 * Takes out of the built scripts what only their readers need, file by file: `node minify.mjs dist`. A page loads half as much of them.
 *
 * The types beside them keep their comments. What is in `wasm` is made by wasm-bindgen and treated alike.
 */

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { minify } from "rolldown/experimental";

const [folder] = process.argv.slice(2);
for (const name of await readdir(folder, { recursive: true })) {
  if (!name.endsWith(".js")) continue;
  const file = join(folder, name);
  const { code, errors } = await minify(name, await readFile(file, "utf8"), { module: true, mangle: { toplevel: true }, compress: true });
  if (errors.length > 0) throw new Error(`${name}: ${errors[0].message}`);
  // Bundlers look for these as plain strings.
  await writeFile(file, code.replaceAll(/(new URL\(|import\()`([^`"\\$]+)`/g, '$1"$2"'));
}
