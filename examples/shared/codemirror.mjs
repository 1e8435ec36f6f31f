/**
 * CodeMirror for pages: each of its packages that a page imports as one module, from those that the client's tests have.
 *
 * Owns that no browser asks for its parts one by one, and that all who import one of them have the same: `NAMES` are what an import map names.
 */

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const CLIENT = new URL("../../packages/client/package.json", import.meta.url);
const NAMES = ["state", "view"];

/** The modules by their addresses. */
export function codemirror() {
  const { buildSync } = createRequire(CLIENT)("esbuild");
  const module = (name) => {
    const { outputFiles } = buildSync({
      stdin: { contents: `export * from "@codemirror/${name}";`, resolveDir: fileURLToPath(new URL("./", CLIENT)) },
      external: NAMES.filter((other) => other !== name).map((other) => `@codemirror/${other}`),
      bundle: true,
      minify: true,
      write: false,
      format: "esm",
      target: "es2022",
      logLevel: "warning",
    });
    return outputFiles[0].contents;
  };
  return new Map(NAMES.map((name) => [`/shared/codemirror-${name}.js`, module(name)]));
}
