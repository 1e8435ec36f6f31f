/**
 * Carets and selections of others drawn over a text field.
 *
 * Owns a layer beside the field that holds the same text in the same letters, unseen, so that the browser itself says where a place is.
 */

import type { RemoteCaret } from "./carets.js";

/** What decides where letters stand. */
const LETTERS = [
  "fontFamily", "fontSize", "fontStyle", "fontWeight", "fontStretch", "fontVariant", "fontKerning", "fontFeatureSettings", "letterSpacing",
  "wordSpacing", "lineHeight", "textAlign", "textIndent", "textTransform", "tabSize", "direction", "paddingTop", "paddingRight",
  "paddingBottom", "paddingLeft", "borderTopWidth", "borderRightWidth", "borderBottomWidth", "borderLeftWidth",
] as const;

const STYLE = `
:host { position: absolute; pointer-events: none; overflow: clip; overflow-clip-margin: 1.2em; box-sizing: border-box; border-style: solid; border-color: transparent; margin: 0; }
:host([hidden]) { display: none; }
.text { color: transparent; overflow-wrap: break-word; }
.selected { background: color-mix(in srgb, var(--color) 25%, transparent); }
.caret { position: relative; }
.caret::before { content: ""; position: absolute; inset-block: -0.1em -0.15em; inset-inline-start: -1px; width: 2px; background: var(--color); }
.name { position: absolute; bottom: 100%; inset-inline-start: -1px; padding: 0 0.4em; border-radius: 0.4em 0.4em 0.4em 0; background: var(--color); color: #fff;
  font: 600 0.7rem/1.35 system-ui, sans-serif; letter-spacing: 0; text-transform: none; text-indent: 0; white-space: nowrap; }
`;

export class Overlay {
  readonly #field: HTMLTextAreaElement | HTMLInputElement;
  readonly #host = document.createElement("rejoin-carets");
  readonly #text = document.createElement("div");
  readonly #end = new AbortController();
  readonly #sizes: ResizeObserver;

  constructor(field: HTMLTextAreaElement | HTMLInputElement) {
    this.#field = field;
    this.#host.setAttribute("aria-hidden", "true");
    this.#host.hidden = true;
    const style = document.createElement("style");
    style.textContent = STYLE;
    this.#text.className = "text";
    this.#host.attachShadow({ mode: "open" }).append(style, this.#text);
    field.after(this.#host);
    field.addEventListener("scroll", () => this.#scroll(), { signal: this.#end.signal });
    this.#sizes = new ResizeObserver(() => this.#fit());
    this.#sizes.observe(field);
  }

  /** Draws these carets over the field's text. */
  draw(carets: readonly RemoteCaret[]): void {
    this.#host.hidden = carets.length === 0;
    if (carets.length === 0) return void this.#text.replaceChildren();
    this.#fit();
    const text = this.#field.value;
    const places = [...new Set([0, text.length, ...carets.flatMap(({ anchor, head }) => [anchor, head])])].sort((a, b) => a - b);
    const pieces: Node[] = [];
    places.forEach((from, index) => {
      for (const caret of carets.filter(({ head }) => head === from)) pieces.push(mark(caret));
      const piece = document.createElement("span");
      piece.textContent = text.slice(from, places[index + 1] ?? from);
      const holder = carets.find(({ anchor, head }) => Math.min(anchor, head) <= from && from < Math.max(anchor, head));
      if (holder) {
        piece.className = "selected";
        piece.style.setProperty("--color", holder.color);
      }
      pieces.push(piece);
    });
    // A last line that is empty has no height of its own.
    this.#text.replaceChildren(...pieces, document.createTextNode("\u200b"));
    this.#scroll();
  }

  remove(): void {
    this.#end.abort();
    this.#sizes.disconnect();
    this.#host.remove();
  }

  #fit(): void {
    if (this.#host.hidden) return;
    const field = this.#field;
    const of = getComputedStyle(field);
    const isLine = field instanceof HTMLInputElement;
    const style = this.#host.style;
    for (const name of LETTERS) style[name] = of[name];
    this.#text.style.whiteSpace = isLine ? "pre" : "pre-wrap";
    const border = field.offsetWidth - field.clientWidth - parseFloat(of.borderLeftWidth) - parseFloat(of.borderRightWidth);
    style.left = `${field.offsetLeft}px`;
    style.top = `${field.offsetTop}px`;
    // Without the scroll bar, which takes room from the letters.
    style.width = `${field.offsetWidth - Math.max(border, 0)}px`;
    style.height = `${field.offsetHeight}px`;
    // The browser sets the one line of an input in the middle.
    if (isLine) style.lineHeight = `${field.clientHeight - parseFloat(of.paddingTop) - parseFloat(of.paddingBottom)}px`;
  }

  #scroll(): void {
    this.#text.style.translate = `${-this.#field.scrollLeft}px ${-this.#field.scrollTop}px`;
  }
}

function mark({ name, color }: RemoteCaret): HTMLElement {
  const caret = document.createElement("span");
  caret.className = "caret";
  caret.style.setProperty("--color", color);
  const label = document.createElement("span");
  label.className = "name";
  label.textContent = name;
  if (name) caret.append(label);
  return caret;
}
