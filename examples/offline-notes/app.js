/** Offline notes: two devices on one page, each with a store and a network of its own. */

import { Pane } from "./pane.js";

const DEVICES = [
  { name: "Ann’s laptop", store: "ann" },
  { name: "Bo’s phone", store: "bo" },
];

// The page works without it; then it needs its web server to open.
void navigator.serviceWorker?.register("/sw.js").catch((error) => console.warn(error));

const { sync } = await (await fetch("/config.json")).json();
for (const device of DEVICES) {
  const pane = new Pane(device.name);
  document.querySelector("#panes").append(pane.element);
  void pane.open(sync, device.store);
}
