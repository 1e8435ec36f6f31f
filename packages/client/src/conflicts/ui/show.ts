/** Values as elements: short ones as they are, texts with what differs from before marked, maps and lists line by line. */

import { hunks, same } from "../../diff.js";

/** Most lines, and characters of a line, that are shown of a value. */
const LINES_MAX = 12;
const TEXT_MAX = 2_000;
/** Texts up to this length are compared character by character; longer ones are shown as they are. */
const COMPARED_MAX = 4_000;

/** Makes an element: its children are elements and texts. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Record<string, string | undefined> = {}, ...children: (Node | string | undefined)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** What a key of an object is called; `undefined` if it tells people nothing. */
export type Fields = (key: string) => string | undefined;

/** A value, beside what was there before. */
export function show(value: unknown, base: unknown, fields: Fields = (key) => key, none = "nothing there"): HTMLElement {
  if (value === undefined) return make("span", { class: "gone" }, none);
  if (typeof value === "string") return text(value, base);
  if (Array.isArray(value)) return lines(value.map((item, index) => [String(index + 1), item, Array.isArray(base) ? base[index] : undefined]), base);
  if (isMap(value)) {
    const before = isMap(base) ? base : undefined;
    return lines(Object.entries(value).flatMap(([key, item]) => (fields(key) === undefined ? [] : [[fields(key) as string, item, before?.[key]]])), base);
  }
  return make("span", { class: "scalar" }, short(value));
}

/** A value in one line. */
export function short(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "empty";
  if (typeof value === "string") return value === "" ? "“”" : cut(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (value instanceof Date) return value.toLocaleString();
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return `${value.length} ${value.length === 1 ? "entry" : "entries"}`;
  if (isMap(value)) return cut(Object.entries(value).map(([key, item]) => `${key}: ${typeof item === "object" ? "…" : short(item)}`).join(", ")) || "empty";
  return String(value);
}

function text(value: string, base: unknown): HTMLElement {
  const element = make("span", { class: "text" });
  if (value === "") element.append(make("span", { class: "gone" }, "empty text"));
  // Of short strings each is a word of its own: no letters in common are worth a mark.
  const isCompared = typeof base === "string" && value.length + base.length <= COMPARED_MAX && value.includes(" ");
  if (!isCompared) element.append(cut(value, TEXT_MAX));
  else {
    const [before, after] = [base.split(/(?<=\s)/), value.split(/(?<=\s)/)];
    let at = 0;
    for (const { from, to, newFrom, newTo } of hunks(before.length, after.length, (a, b) => before[a] === after[b])) {
      element.append(after.slice(at, newFrom).join(""));
      if (to > from) element.append(make("del", {}, before.slice(from, to).join("")));
      if (newTo > newFrom) element.append(make("ins", {}, after.slice(newFrom, newTo).join("")));
      at = newTo;
    }
    element.append(after.slice(at).join(""));
  }
  return element;
}

function lines(items: [string, unknown, unknown][], base: unknown): HTMLElement {
  if (items.length === 0) return make("span", { class: "gone" }, "empty");
  const list = make("dl", { class: "lines" });
  for (const [key, item, before] of items.slice(0, LINES_MAX)) {
    const isOther = base !== undefined && !same(item, before, new WeakMap(), new WeakMap());
    list.append(make("div", isOther ? { class: "other" } : {}, make("dt", {}, key), make("dd", {}, short(item))));
  }
  if (items.length > LINES_MAX) list.append(make("div", {}, make("dt", {}, "…"), make("dd", {}, `${items.length - LINES_MAX} more`)));
  return list;
}

function cut(text: string, max = 80): string {
  return text.length > max ? `${text.slice(0, max)}…` : text;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date) && !(value instanceof Uint8Array);
}
