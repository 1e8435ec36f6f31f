/** The page of the React tests: a list on the document, under Strict Mode, that counts what it renders and what tears. */

import { createElement as h, StrictMode, startTransition, useState } from "react";
import { createRoot } from "react-dom/client";

import { useDocument, usePresence, useStatus } from "#dist/react.js";

declare global {
  // eslint-disable-next-line no-var
  var seen: { renders: number; torn: number };
  // eslint-disable-next-line no-var
  var show: () => void;
  // eslint-disable-next-line no-var
  var hide: () => void;
}

globalThis.seen = { renders: 0, torn: 0 };

function Count() {
  return h("output", { className: "count" }, useDocument(globalThis.doc).value.notes.length);
}

/** Slow enough that an edit may come while it renders. */
function Slow({ at }: { at: number }) {
  const { value } = useDocument(globalThis.doc);
  const until = performance.now() + 2;
  while (performance.now() < until);
  return h("i", { "data-length": value.notes.length }, at);
}

function Page() {
  globalThis.seen.renders += 1;
  const { value, change } = useDocument(globalThis.doc);
  const [slow, setSlow] = useState(0);
  const client = useStatus(globalThis.client);
  const { pending } = useStatus(globalThis.doc);
  const [peers, say] = usePresence(globalThis.doc);
  const first = value.notes[0]?.title ?? "";
  return h("main", null, [
    h(Count, { key: "count" }),
    h("input", { key: "first", value: first, onChange: ({ target }: { target: HTMLInputElement }) => change((d) => void (d.notes[0]!.title = target.value)) }),
    h("p", { key: "status", role: "status" }, `${client.connected ? "connected" : "apart"} ${pending}`),
    h("button", { key: "say", onClick: () => say({ name: "Ann" }) }, "say"),
    h("button", { key: "slow", onClick: () => startTransition(() => setSlow(60)) }, "slow"),
    h("ul", { key: "peers" }, peers.map(({ id, value }) => h("li", { key: id }, JSON.stringify(value)))),
    h("div", { key: "parts", className: "parts" }, Array.from({ length: slow }, (_, at) => h(Slow, { key: at, at }))),
  ]);
}

let root: ReturnType<typeof createRoot> | undefined;

globalThis.show = () => {
  const place = document.body.appendChild(document.createElement("div"));
  root = createRoot(place);
  // What is on the page shows one value at all times.
  new MutationObserver(() => {
    const lengths = new Set(Array.from(document.querySelectorAll("[data-length]"), (part) => (part as HTMLElement).dataset.length));
    if (lengths.size > 1) globalThis.seen.torn += 1;
  }).observe(place, { subtree: true, childList: true, attributes: true });
  root.render(h(StrictMode, null, h(Page)));
};
globalThis.hide = () => root?.unmount();
