/** Offline notes: two devices on one page, each with a store and a network of its own, and the server between them. */

import "@rejoin/client/conflicts";
import "@rejoin/client/inspector";

import { keepOnDevice } from "/shared/update.js";

import { Link } from "./link.js";
import { Pane } from "./pane.js";
import { Versions } from "./versions.js";

const DEVICES = [
  { name: "Ann’s laptop", person: "Ann", icon: "laptop", store: "ann" },
  { name: "Bo’s phone", person: "Bo", icon: "smartphone", store: "bo" },
];

void keepOnDevice();

const devices = document.querySelector("#devices");
const link = new Link(devices.querySelector(".link"));
const inside = document.querySelector("#inside");
inside.querySelector(".close").addEventListener("click", () => inside.close());
inside.addEventListener("keydown", ({ key }) => key === "Escape" && inside.close());

/** Shows in the drawer what is inside a device. */
function lookInside({ name, client }) {
  inside.querySelector("h2").textContent = `Inside ${name}`;
  inside.querySelector("rejoin-inspector").client = client;
  if (!inside.open) inside.show();
}

const versions = new Versions(document.querySelector("#versions"));
const panes = DEVICES.map((device, index) => new Pane(device, link.end(index), { inside: lookInside, versions: (whose) => versions.open(whose) }));
devices.prepend(panes[0].element);
devices.append(panes[1].element);

const { sync } = await (await fetch("/config.json")).json();
for (const pane of panes) void pane.open(sync);
