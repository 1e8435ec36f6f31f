/** What is done where there is no page, as on a server that renders: every entry point can be imported there. */

import assert from "node:assert/strict";

import { listen } from "#modules/listeners.js";

import { test } from "./timed.js";

test("every entry point can be imported where there is no page", async () => {
  assert.ok(!("HTMLElement" in globalThis) && !("customElements" in globalThis));
  for (const name of ["index", "conflicts", "inspector", "textarea", "codemirror", "react"]) await import(`#dist/${name}.js`);
});

test("a listener that throws at its first call is not subscribed", () => {
  const listeners = new Set<(news: number) => void>();
  const heard: number[] = [];
  const stop = listen(listeners, (news) => void heard.push(news), 1);
  const thrown = () => {
    throw new Error("at once");
  };
  assert.throws(() => listen(listeners, thrown, 2), /at once/);
  for (const listener of listeners) listener(3);
  assert.deepEqual(heard, [1, 3]);
  stop();
  assert.equal(listeners.size, 0);
});
