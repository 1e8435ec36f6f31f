/**
 * One conflict: what happened, what was there before, the sides beside each other, and the answers.
 *
 * Owns the elements and which answer each key and button stands for. What an answer does is the inbox's.
 */

import type { Answer, Conflict } from "../types.js";
import { type Fields, make, short, show } from "./show.js";
import { bothWords, CUT_WORDS, isRemoval, kindWords, nameOf, noneWords, type People, type Places, placeWords, storyWords, timeWords } from "./words.js";

/** What somebody wants done with a conflict. */
export type Wish =
  | { kind: "answer"; answer: Answer; note: string }
  | { kind: "undo" }
  | { kind: "whole" }
  | { kind: "retry" }
  | { kind: "edit" }
  | { kind: "export" }
  | { kind: "discard" };

export type CardOptions = {
  people: People | undefined;
  places: Places | undefined;
  fields: Fields | undefined;
  now: number;
  /** Whether the page can open a refused value to be edited. */
  edits: boolean;
};

/** Most sides that have a key. */
const KEYS_MAX = 9;

export class Card {
  readonly element = make("li", { class: "card", tabindex: "-1" });
  readonly #wish: (wish: Wish) => void;
  #conflict: Conflict;
  #note = "";
  #isNoting = false;
  /** What somebody types in place of all sides; `undefined` while they don't. */
  #given: string | undefined;
  #trouble = "";

  constructor(conflict: Conflict, options: CardOptions, wish: (wish: Wish) => void) {
    this.#conflict = conflict;
    this.#wish = wish;
    this.update(conflict, options);
  }

  get conflict(): Conflict {
    return this.#conflict;
  }

  /** Shows what the conflict is now. What was typed as a note stays. */
  update(conflict: Conflict, options: CardOptions): void {
    this.#conflict = conflict;
    const { element } = this;
    const focused = (element.getRootNode() as ShadowRoot).activeElement?.getAttribute("data-focus");
    element.dataset.state = conflict.state;
    element.dataset.kind = conflict.kind;
    element.setAttribute("aria-label", `${placeWords(conflict, options.places)}: ${kindWords(conflict)}`);
    const isDone = conflict.state === "settled" || conflict.state === "superseded";
    if (isDone) this.#given = undefined;
    element.replaceChildren(...this.#head(options), ...(conflict.cut ? this.#cut() : isDone ? this.#done(options) : this.#choice(options)));
    if (this.#trouble) element.append(make("p", { class: "trouble", role: "alert" }, this.#trouble));
    if (focused) element.querySelector<HTMLElement>(`[data-focus="${focused}"]`)?.focus();
  }

  /** Says why an answer was not taken. */
  fail(reason: string, options: CardOptions): void {
    this.#trouble = reason;
    this.update(this.#conflict, options);
    this.#trouble = "";
  }

  /** What a key stands for here; whether it stands for anything. */
  press(key: string): boolean {
    const button = this.element.querySelector<HTMLButtonElement>(`button[data-key="${CSS.escape(key)}"]`);
    button?.click();
    return button !== null;
  }

  #head({ places, people }: CardOptions): Node[] {
    const conflict = this.#conflict;
    const head = make("div", { class: "card-head" }, make("h3", {}, placeWords(conflict, places)), make("span", { class: "kind" }, kindWords(conflict)));
    return [head, make("p", { class: "story" }, storyWords(conflict, people))];
  }

  /** What the list has no room for is fetched by itself. */
  #cut(): Node[] {
    const fetch = this.#button("Show it", "s", "Show it", () => this.#wish({ kind: "whole" }));
    return [make("p", { class: "quiet" }, CUT_WORDS), make("div", { class: "answers" }, fetch)];
  }

  #choice(options: CardOptions): Node[] {
    const conflict = this.#conflict;
    const parts: (Node | undefined)[] = [this.#rule(), this.#base(options), this.#sides(options)];
    parts.push(conflict.kind === "rejected" ? this.#refused(options) : this.#answers(options));
    if (this.#given !== undefined && this.#takesWords()) parts.push(this.#givenField(this.#given));
    if (this.#isNoting) parts.push(this.#noteField());
    return parts.filter((part) => part !== undefined);
  }

  /** What a rule says, or why it says nothing. */
  #rule(): Node | undefined {
    const { state, policy, fault } = this.#conflict;
    if (fault) return make("p", { class: "fault" }, `No rule answers here: ${fault}.`);
    if (state !== "projected") return undefined;
    return make("p", { class: "rule" }, make("strong", {}, policy.replace(/@.*/, "")), " answers ", make("b", {}, short(this.#conflict.answer)), ". Nothing is written until somebody decides.");
  }

  #base({ fields }: CardOptions): Node | undefined {
    const { base, kind } = this.#conflict;
    if (kind === "container" && base === undefined) return undefined;
    return make("div", { class: "base" }, make("span", { class: "quiet" }, "Before"), show(base, undefined, fields, this.#none?.toLowerCase()));
  }

  #sides({ people, fields, now }: CardOptions): Node {
    const { candidates, base, kind, state } = this.#conflict;
    const sides = make("ol", { class: "sides" });
    candidates.forEach((side, index) => {
      // Beside what was refused stands what was there before.
      if (kind === "rejected" && side.shown) return;
      const name = nameOf(side, people);
      const who = make("div", { class: "who" }, make("b", {}, name), side.mine && name !== "This device" ? make("span", { class: "tag" }, "you") : undefined);
      if (side.at !== undefined) who.append(time(side.at, now));
      const item = make("li", { class: "side" }, who, make("div", { class: "value" }, isRemoval(side) ? make("span", { class: "gone" }, this.#none ?? "Removed it") : show(side.value, base, fields)));
      if (side.shown) item.append(make("span", { class: "shown" }, "shows now"));
      if (kind !== "rejected" && state !== "superseded") {
        const key = index < KEYS_MAX ? String(index + 1) : undefined;
        const words = isRemoval(side) && !this.#none ? "Let it go" : "Keep this";
        item.append(this.#button(words, key, `${words}: ${name}`, () => this.#answer({ pick: index }), "pick"));
      }
      sides.append(item);
    });
    return sides;
  }

  #answers(options: CardOptions): Node {
    const both = bothWords(this.#conflict);
    const none = this.#conflict.candidates.some(isRemoval) ? undefined : this.#none;
    return make(
      "div", { class: "answers" },
      both === undefined ? undefined : this.#button(both, "b", both, () => this.#answer({ keep: "both" })),
      none === undefined ? undefined : this.#button(none, "0", none, () => this.#answer({ value: undefined })),
      this.#takesWords() ? this.#button("Something else", "e", "Something else", () => this.#toggleGiven(options), "plain") : undefined,
      this.#button(this.#isNoting ? "Hide note" : "Add a note", "n", "Add a note", () => this.#toggleNote(), "plain"),
    );
  }

  /** What a mark is called where there is none. */
  get #none(): string | undefined {
    return noneWords(this.#conflict);
  }

  /** Whether a text typed here can be the answer: what a link leads to, a comment, a colour. */
  #takesWords(): boolean {
    const values = this.#conflict.candidates.filter((side) => !isRemoval(side)).map(({ value }) => value);
    return this.#none !== undefined && values.every((value) => typeof value === "string");
  }

  #toggleGiven(options: CardOptions): void {
    this.#given = this.#given === undefined ? "" : undefined;
    this.update(this.#conflict, options);
    this.element.querySelector<HTMLElement>('[data-focus="given"]')?.focus();
  }

  #givenField(given: string): Node {
    const field = make("input", { required: "", maxlength: "2000", "data-focus": "given", "aria-label": `Another ${this.#conflict.mark?.name ?? "format"}` });
    field.value = given;
    field.addEventListener("input", () => void (this.#given = field.value));
    const form = make("form", { class: "given" }, field, make("button", { class: "pick" }, "Use this"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#answer({ value: field.value });
    });
    return form;
  }

  #refused({ edits }: CardOptions): Node {
    const wish = (kind: "retry" | "edit" | "export" | "discard") => () => this.#wish({ kind });
    return make(
      "div", { class: "answers" },
      this.#button("Try again", "r", "Try again", wish("retry")),
      edits ? this.#button("Edit", "e", "Edit", wish("edit"), "plain") : undefined,
      this.#button("Save a copy", "x", "Save a copy", wish("export"), "plain"),
      this.#button("Discard", "d", "Discard", wish("discard"), "danger"),
    );
  }

  #done(options: CardOptions): Node[] {
    const { people, now } = options;
    const { state, settledBy, answer } = this.#conflict;
    if (state === "superseded") return [make("p", { class: "quiet" }, "Somebody has written here since. Nothing is to be done."), this.#sides(options)];
    const who = settledBy && (people?.(settledBy) ?? settledBy.author);
    const parts: Node[] = [make("p", { class: "settled" }, who ? `${who} decided: ` : "Decided: ", make("b", {}, answer === undefined && this.#none ? this.#none.toLowerCase() : short(answer)))];
    if (settledBy?.at !== undefined) parts[0]?.appendChild(make("span", { class: "quiet" }, " · ", time(settledBy.at, now)));
    if (settledBy?.note) parts.push(make("blockquote", {}, settledBy.note));
    parts.push(make("div", { class: "answers" }, this.#button("Undo", "u", "Undo this decision", () => this.#wish({ kind: "undo" }), "plain")));
    return parts;
  }

  #noteField(): Node {
    const field = make("textarea", { rows: "2", maxlength: "500", "data-focus": "note", "aria-label": "Note", placeholder: "Why? Everybody can read this." });
    field.value = this.#note;
    field.addEventListener("input", () => void (this.#note = field.value));
    return field;
  }

  #toggleNote(): void {
    this.#isNoting = !this.#isNoting;
    const button = this.element.querySelector<HTMLElement>('button[data-key="n"]');
    if (button?.firstChild) button.firstChild.textContent = this.#isNoting ? "Hide note" : "Add a note";
    this.element.querySelector("textarea")?.remove();
    if (!this.#isNoting) return;
    const field = this.#noteField() as HTMLTextAreaElement;
    this.element.append(field);
    field.focus();
  }

  #answer(answer: Answer): void {
    this.#wish({ kind: "answer", answer, note: this.#isNoting ? this.#note.trim() : "" });
  }

  #button(words: string, key: string | undefined, label: string, press: () => void, look = ""): HTMLButtonElement {
    const button = make("button", { type: "button", class: look, "data-key": key, "data-focus": key ?? label }, make("span", {}, words));
    if (label !== words) button.setAttribute("aria-label", label);
    if (key !== undefined) {
      button.setAttribute("aria-keyshortcuts", key);
      button.append(make("kbd", { "aria-hidden": "true" }, key.toUpperCase()));
    }
    button.addEventListener("click", press);
    return button;
  }
}

function time(at: number, now: number): HTMLElement {
  const date = new Date(at);
  return make("time", { datetime: date.toISOString(), title: date.toLocaleString() }, timeWords(at, now));
}
