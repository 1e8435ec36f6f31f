/**
 * Icons for pages, from the package lucide-static: `<svg data-icon="NAME"></svg>` in a page, and a module `/shared/icons.js` for scripts.
 *
 * Owns which icons there are. They are put in where a page is served, so that no browser asks for one.
 */

import { readFileSync } from "node:fs";

const FOLDER = new URL("../../packages/client/node_modules/lucide-static/icons/", import.meta.url);

/** Those that scripts may ask for. A page may use any. */
const NAMES = [
  "arrow-right", "check", "check-check", "cloud-check", "git-merge", "hard-drive", "heart", "hourglass", "laptop", "plus", "refresh-cw",
  "server", "smartphone", "square", "square-check", "trash-2", "triangle-alert", "undo-2", "redo-2", "wifi", "wifi-off", "x",
];

/** What an icon draws. */
function drawing(name) {
  const text = readFileSync(new URL(`${name}.svg`, FOLDER), "utf8");
  return text.slice(text.indexOf(">", text.indexOf("<svg")) + 1, text.lastIndexOf("</svg>")).replace(/\s+/g, " ").trim();
}

/** A page with its icons drawn. */
export function withIcons(page) {
  const attributes = 'class="icon" viewBox="0 0 24 24" aria-hidden="true"';
  return page.replace(/<svg data-icon="([\w-]+)"><\/svg>/g, (_, name) => `<svg ${attributes} data-icon="${name}">${drawing(name)}</svg>`);
}

/** The module for scripts. */
export function iconModule() {
  const drawings = JSON.stringify(Object.fromEntries(NAMES.map((name) => [name, drawing(name)])));
  return `const DRAWINGS = ${drawings};

/** Draws an icon into an \`<svg class="icon">\`; into a new one if none is given. */
export function icon(name, svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")) {
  if (svg.dataset.icon === name) return svg;
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.dataset.icon = name;
  svg.innerHTML = DRAWINGS[name];
  return svg;
}
`;
}
