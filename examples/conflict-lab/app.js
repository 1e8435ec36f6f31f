/** Conflict lab: three people with a device each, all on one page, and a server between them. */

import { Person } from "./person.js";
import { showRules } from "./rules.js";
import { showScenes } from "./scenes.js";

const ROOM = "conflict-lab:room";

/** Each visitor has a shop to play with; another one after "Start over". */
function room() {
  const known = localStorage.getItem(ROOM);
  if (known) return known;
  const made = crypto.randomUUID().slice(0, 8);
  localStorage.setItem(ROOM, made);
  return made;
}

async function start() {
  const { sync } = await (await fetch("/config.json")).json();
  const people = ["Ann", "Bo", "Cleo"].map((name) => new Person(name));
  document.querySelector("#panes").append(...people.map(({ element }) => element));
  // One after the other: the first fills the shop.
  for (const person of people) await person.open(sync, room());
  // On a phone the people come first.
  document.querySelector(".rules").open = matchMedia("(width > 60rem)").matches;
  showRules(document.querySelector("#rules"), (policies, arePicked) => people.forEach((person) => person.setPolicies(policies, arePicked)));
  showScenes(document.querySelector("#scenes"), document.querySelector("#story"), people);
}

document.querySelector("#anew").addEventListener("click", () => {
  localStorage.removeItem(ROOM);
  location.reload();
});

start().catch((error) => {
  document.querySelector("#story").textContent = `The lab can’t start: ${error.message}`;
});
