/** Puts a test page's script and the packages that it imports together, for packages that no browser loads as they are. */

import { fileURLToPath } from "node:url";

import { build, type Rolldown } from "vite";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The script `build/pages/NAME.js` and all that it needs, as one script. */
export async function bundle(name: string): Promise<string> {
  const built = await build({
    configFile: false,
    root: ROOT,
    logLevel: "error",
    define: { "process.env.NODE_ENV": '"development"' },
    build: { write: false, minify: false, lib: { entry: `${ROOT}build/pages/${name}.js`, formats: ["iife"], name: "bundled" } },
  });
  const [{ output }] = built as [Rolldown.RolldownOutput];
  return output[0].code;
}
