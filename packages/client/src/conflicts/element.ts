/**
 * `<rejoin-conflicts>`: a badge with the number of open conflicts of one document or several, and an inbox in which to settle them.
 *
 * Owns its elements, the keys, and what an answer calls on the document. Importing this file defines the element.
 */

import { same } from "../diff.js";
import type { Answer, AnswerOptions, Conflict } from "./types.js";
import { Card, type CardOptions, type Wish } from "./ui/card.js";
import { type Fields, make } from "./ui/show.js";
import { STYLE } from "./ui/style.js";
import { countWords, moreWords, type People, type Places } from "./ui/words.js";

export type { Fields } from "./ui/show.js";
export type { People, Places } from "./ui/words.js";

/** What the element needs of a document; a `SyncDocument` has it. */
export type ConflictDocument = {
  readonly name: string;
  readonly conflicts: {
    subscribe(listener: (conflicts: readonly Conflict[]) => void): () => void;
    resolve(id: string, answer: Answer, options?: AnswerOptions): Promise<void>;
    reopen(id: string): Promise<void>;
    /** How many conflicts the list has no room for. */
    readonly more?: number;
    /** One with all that it says, where the list has no room for that. */
    get?(id: string): Promise<Conflict | undefined>;
  };
  retry(change: string): unknown;
  discard(change: string): unknown;
  export(): Uint8Array | Promise<Uint8Array>;
};

/** How often "just now" and "3 min ago" are looked at again. */
const TIMES_MS = 30_000;
const ICON = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 4v5a5 5 0 0 0 5 5h2a5 5 0 0 1 5 5v1M18 4v5a5 5 0 0 1-5 5h-2a5 5 0 0 0-5 5v1"/></svg>';

// Where there is no page, as on a server that renders, importing this must not fail.
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

/**
 * `document`, or `documents`: whose conflicts. `people`, `places`, `fields`: better names than the device's, the path's and a key's. The attribute `open` shows the inbox;
 * with `inline` it is always shown, without a button. `edit`: what opens a refused value to be edited; without it there is no such button.
 */
export class RejoinConflicts extends Base {
  static observedAttributes = ["open", "inline"];
  readonly #badge = make("button", { type: "button", class: "badge", part: "badge", "aria-controls": "inbox" });
  readonly #said = make("p", { class: "said", role: "status" });
  readonly #inbox = make("div", { id: "inbox", class: "inbox", part: "inbox", role: "group", "aria-label": "Conflicts" });
  readonly #empty = make("p", { class: "empty" }, "Nothing to settle. When two people disagree, you will see it here.");
  readonly #open = make("ol", { class: "list" });
  readonly #more = make("p", { class: "quiet more" });
  readonly #doneList = make("ol", { class: "list" });
  readonly #doneWords = make("summary");
  readonly #done = make("details", {}, this.#doneWords, this.#doneList);
  readonly #cards = new Map<string, Card>();
  readonly #answered: string[] = [];
  #documents: readonly ConflictDocument[] = [];
  #people: People | undefined;
  #places: Places | undefined;
  #fields: Fields | undefined;
  #edit: ((conflict: Conflict) => void) | undefined;
  #listed: readonly Conflict[] = [];
  #stops: (() => void)[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    this.#inbox.append(this.#empty, this.#open, this.#done, this.#more);
    root.append(this.#badge, this.#said, this.#inbox);
    this.#badge.addEventListener("click", () => this.toggleAttribute("open"));
    root.addEventListener("keydown", (event) => this.#press(event as KeyboardEvent));
    this.#show();
  }

  get document(): ConflictDocument | undefined {
    return this.#documents[0];
  }

  set document(document: ConflictDocument | undefined) {
    this.documents = document ? [document] : [];
  }

  get documents(): readonly ConflictDocument[] {
    return this.#documents;
  }

  set documents(documents: readonly ConflictDocument[]) {
    this.#documents = [...documents];
    this.#listen();
  }

  get edit(): ((conflict: Conflict) => void) | undefined {
    return this.#edit;
  }

  set edit(edit: ((conflict: Conflict) => void) | undefined) {
    this.#edit = edit;
    this.refresh();
  }

  get people(): People | undefined {
    return this.#people;
  }

  set people(people: People | undefined) {
    this.#people = people;
    this.refresh();
  }

  get places(): Places | undefined {
    return this.#places;
  }

  set places(places: Places | undefined) {
    this.#places = places;
    this.refresh();
  }

  get fields(): Fields | undefined {
    return this.#fields;
  }

  set fields(fields: Fields | undefined) {
    this.#fields = fields;
    this.refresh();
  }

  connectedCallback(): void {
    this.#listen();
    this.#timer = setInterval(() => this.refresh(), TIMES_MS);
  }

  disconnectedCallback(): void {
    clearInterval(this.#timer);
    this.#leave();
  }

  attributeChangedCallback(): void {
    this.#show();
  }

  /** Shows all again, for when names or times have changed. */
  refresh(): void {
    for (const card of this.#cards.values()) card.update(card.conflict, this.#options());
  }

  #listen(): void {
    this.#leave();
    if (!this.isConnected) return;
    const lists = new Map<ConflictDocument, readonly Conflict[]>();
    this.#stops = this.#documents.map((document) =>
      document.conflicts.subscribe((conflicts) => {
        lists.set(document, conflicts);
        this.#list([...lists.values()].flat());
      }),
    );
    if (this.#documents.length === 0) this.#list([]);
  }

  #leave(): void {
    for (const stop of this.#stops) stop();
    this.#stops = [];
  }

  #options(): CardOptions {
    return { people: this.#people, places: this.#places, fields: this.#fields, now: Date.now(), edits: this.#edit !== undefined };
  }

  #list(conflicts: readonly Conflict[]): void {
    const before = this.#count();
    const held = (this.shadowRoot as ShadowRoot).activeElement?.closest(".card");
    this.#listed = conflicts;
    const gone = new Set(this.#cards.keys());
    const options = this.#options();
    for (const conflict of conflicts) {
      gone.delete(conflict.id);
      const card = this.#cards.get(conflict.id);
      // What was fetched stays as long as it is the same.
      if (conflict.cut && card && !card.conflict.cut && card.conflict.version === conflict.version && card.conflict.state === conflict.state) continue;
      if (!card) this.#cards.set(conflict.id, new Card(conflict, options, (wish) => void this.#grant(conflict.id, wish)));
      else if (!same(card.conflict, conflict, new WeakMap(), new WeakMap())) card.update(conflict, options);
    }
    for (const id of gone) {
      this.#cards.get(id)?.element.remove();
      this.#cards.delete(id);
    }
    const order: Conflict["state"][] = ["open", "projected", "settled", "superseded"];
    const sorted = conflicts.toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
    const isDone = ({ state }: Conflict) => state === "settled" || state === "superseded";
    place(this.#open, sorted.filter((conflict) => !isDone(conflict)).map(({ id }) => this.#element(id)));
    place(this.#doneList, sorted.filter(isDone).map(({ id }) => this.#element(id)));
    const done = this.#doneList.childElementCount;
    this.#doneWords.textContent = `${done} earlier`;
    this.#done.hidden = done === 0;
    const more = this.#documents.reduce((sum, { conflicts }) => sum + (conflicts.more ?? 0), 0);
    this.#more.textContent = more > 0 ? moreWords(more) : "";
    this.#more.hidden = more === 0;
    this.#empty.hidden = this.#open.childElementCount > 0;
    // An answer takes its card away from under the fingers: they go on with the next, or where it went, so that keys are still heard.
    if (held && !this.#open.contains(held)) (this.#open.querySelector<HTMLElement>(".card") ?? this.#doneWords).focus();
    const open = this.#count();
    if (open !== before) {
      this.#said.textContent = countWords(open);
      this.dispatchEvent(new CustomEvent("count", { detail: open }));
    }
    this.#show();
  }

  #element(id: string): HTMLElement {
    return (this.#cards.get(id) as Card).element;
  }

  #count(): number {
    return this.#listed.filter(({ state }) => state === "open").length;
  }

  #show(): void {
    const open = this.#count();
    const isInline = this.hasAttribute("inline");
    const isShown = isInline || this.hasAttribute("open");
    this.#badge.hidden = isInline;
    this.#badge.style.display = isInline ? "none" : "";
    this.#badge.dataset.open = String(open > 0);
    this.#badge.innerHTML = ICON;
    this.#badge.append(make("span", {}, countWords(open)));
    this.#badge.setAttribute("aria-expanded", String(isShown));
    this.#inbox.hidden = !isShown;
  }

  /** A key counts for the card that has the focus, or for the first; not while somebody types. */
  #press(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const cardElement = target.closest<HTMLElement>(".card");
    if (target.matches("textarea, input")) {
      if (event.key === "Escape") cardElement?.focus();
      return;
    }
    const all = [...this.#inbox.querySelectorAll<HTMLElement>(".card")].filter((card) => card.checkVisibility());
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const next = (cardElement ? all.indexOf(cardElement) : -1) + (event.key === "ArrowDown" ? 1 : -1);
      all[Math.max(0, Math.min(next, all.length - 1))]?.focus();
      return event.preventDefault();
    }
    const element = cardElement ?? all[0];
    const card = [...this.#cards.values()].find((each) => each.element === element);
    const key = event.key.toLowerCase();
    if (card?.press(key) || (key === "u" && this.#undoLast())) event.preventDefault();
  }

  /** Takes back what was answered here last and is still settled. */
  #undoLast(): boolean {
    for (let id = this.#answered.pop(); id !== undefined; id = this.#answered.pop()) {
      if (this.#cards.get(id)?.conflict.state !== "settled") continue;
      void this.#grant(id, { kind: "undo" });
      return true;
    }
    return false;
  }

  async #grant(id: string, wish: Wish): Promise<void> {
    const card = this.#cards.get(id);
    const document = this.#documents.find(({ name }) => name === card?.conflict.document);
    if (!card || !document) return;
    const { conflict } = card;
    const change = conflict.candidates.find((side) => !side.shown)?.change ?? "";
    try {
      if (wish.kind === "answer") {
        await document.conflicts.resolve(id, wish.answer, { version: conflict.version, ...(wish.note && { note: wish.note }) });
        this.#answered.push(id);
      } else if (wish.kind === "whole") {
        const whole = await document.conflicts.get?.(id);
        if (whole) card.update(whole, this.#options());
      } else if (wish.kind === "undo") await document.conflicts.reopen(id);
      else if (wish.kind === "retry") await document.retry(change);
      else if (wish.kind === "discard") await document.discard(change);
      else if (wish.kind === "export") save(`${document.name.replaceAll("/", "-")}.changes`, await document.export());
      else this.#edit?.(conflict);
    } catch (error) {
      card.fail(error instanceof Error ? error.message : String(error), this.#options());
    }
  }
}

/** Makes these the children of a list; what is in its place already is not moved, since moving takes the focus away. */
function place(list: HTMLElement, elements: readonly HTMLElement[]): void {
  for (const child of [...list.children]) if (!elements.includes(child as HTMLElement)) child.remove();
  elements.forEach((element, index) => {
    if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
  });
}

function save(name: string, bytes: Uint8Array): void {
  const url = URL.createObjectURL(new Blob([bytes as BlobPart], { type: "application/octet-stream" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

declare global {
  interface HTMLElementTagNameMap {
    "rejoin-conflicts": RejoinConflicts;
  }
}

if (globalThis.customElements && !customElements.get("rejoin-conflicts")) customElements.define("rejoin-conflicts", RejoinConflicts);
