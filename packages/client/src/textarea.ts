/**
 * `@rejoin/client/textarea`: a plain `<textarea>` or `<input>` that edits a text of a document together with others.
 *
 * Owns the field's value while it is bound, its caret as others edit, and the keys of undo and redo. Composing (input methods, dead keys,
 * dictation) is left alone until it is done: what others write meanwhile is shown then.
 */

import { Carets, type RemoteCaret } from "./bindings/carets.js";
import { Overlay } from "./bindings/overlay.js";
import { type AnyDocument, type BindingOptions, Place, type TextPath } from "./bindings/place.js";
import { moved, rebased, type Splice, spliceBetween } from "./bindings/splice.js";

export type { CaretOptions, CaretPresence, Person } from "./bindings/carets.js";
export type { AnyDocument, BindingOptions, TextPath } from "./bindings/place.js";

export type Field = HTMLTextAreaElement | HTMLInputElement;

/** A field that is bound. */
export type Binding = {
  /** Leaves the field as it is, and the document alone. */
  unbind(): void;
};

/**
 * Binds a field to the text at `path` of a document. The field shows the text, what is typed in it is written as the smallest splice at
 * the caret, and what others write leaves caret and selection where they are. While there is no text at the path the field is read-only.
 */
export function bind<D extends AnyDocument>(field: Field, document: D, path: TextPath<D>, options: BindingOptions = {}): Binding {
  const bound = new BoundField(field, document, path, options);
  return { unbind: () => bound.unbind() };
}

class BoundField<D extends AnyDocument> {
  readonly #field: Field;
  readonly #place: Place<D>;
  readonly #carets: Carets;
  readonly #overlay: Overlay;
  readonly #end = new AbortController();
  readonly #wasReadOnly: boolean;
  /** While composing: the text as it was, and what others have made of it since. */
  #composing: { base: string; others: Splice[] } | undefined;
  /** The caret goes where the next news is: it is what undo brings. */
  #follows = false;
  #drawn: readonly RemoteCaret[] = [];
  /** The text that the field shows, with the line breaks that it does not show as they are. */
  #shown = "";

  constructor(field: Field, document: D, path: TextPath<D>, options: BindingOptions) {
    this.#field = field;
    this.#wasReadOnly = field.readOnly;
    this.#overlay = new Overlay(field);
    this.#place = new Place(document, path, options, (text, splices) => this.#heard(text, splices));
    this.#carets = new Carets(this.#place as unknown as Place, options, (carets) => {
      this.#drawn = carets;
      this.#draw();
    });
    this.#showWhole();
    this.#listen();
  }

  unbind(): void {
    if (this.#end.signal.aborted) return;
    this.#end.abort();
    this.#place.stop();
    this.#carets.stop();
    this.#overlay.remove();
    this.#field.readOnly = this.#wasReadOnly;
  }

  #listen(): void {
    const { signal } = this.#end;
    const on = <E extends Event>(type: string, handle: (event: E) => void, target: EventTarget = this.#field) =>
      target.addEventListener(type, handle as (event: Event) => void, { signal });
    on("input", () => this.#composing || this.#typed());
    on("compositionstart", () => (this.#composing ??= { base: this.#place.text ?? "", others: [] }));
    on("compositionend", () => this.#composed());
    // A composition that the page itself cuts off may end without a word.
    on("blur", () => this.#composed());
    on("beforeinput", (event: InputEvent) => this.#step(event, event.inputType === "historyUndo", event.inputType === "historyRedo"));
    on("keydown", (event: KeyboardEvent) => {
      if (event.isComposing || event.altKey || !(event.ctrlKey || event.metaKey)) return;
      const key = event.key.toLowerCase();
      this.#step(event, key === "z" && !event.shiftKey, (key === "z" && event.shiftKey) || (key === "y" && event.ctrlKey));
    });
    const root = this.#field.ownerDocument;
    on("selectionchange", () => this.#say(), root);
    for (const type of ["focus", "blur", "select", "keyup", "pointerup"]) on(type, () => this.#say());
  }

  #step(event: Event, undo: boolean, redo: boolean): void {
    if (!undo && !redo) return;
    event.preventDefault();
    if (this.#composing) return;
    this.#follows = true;
    void this.#place.step(undo).then((done) => {
      if (!done) this.#follows = false;
    });
  }

  #typed(): void {
    const old = this.#place.text;
    const own = old === undefined ? undefined : splice(old, this.#field);
    if (!own) return;
    if (!this.#place.write([own])) return this.#showWhole();
    this.#shown = this.#place.text ?? "";
    this.#shift([own]);
    this.#draw();
    this.#say();
  }

  /** What was composed goes into the text, and what others wrote meanwhile into the field. */
  #composed(): void {
    const composing = this.#composing;
    this.#composing = undefined;
    if (!composing) return;
    const { base, others } = composing;
    if (others.length === 0) return this.#typed();
    const own = splice(base, this.#field);
    const placed = own ? rebased(own, others) : [];
    const caret = toText(this.#field, this.#field.selectionEnd ?? 0, base);
    if (placed.length > 0) this.#place.write(placed);
    this.#showWhole();
    const come = placed.find(({ inserted }) => inserted !== "");
    const at = come ? come.index + come.inserted.length : others.reduce((at, other) => moved(at, other), caret);
    this.#select(at, at, "none");
    this.#say();
    void this.#carets.refresh();
  }

  #heard(text: string | undefined, splices: readonly Splice[]): void {
    if (this.#composing) {
      this.#composing.others.push(...splices);
      return;
    }
    if (text === undefined || splices.length === 0) this.#showWhole();
    else this.#show(text, splices);
    void this.#carets.refresh();
  }

  /** Shows a text into which these splices lead from the one that the field shows. */
  #show(text: string, splices: readonly Splice[]): void {
    const field = this.#field;
    const { selectionStart, selectionEnd, selectionDirection, scrollTop, scrollLeft } = field;
    let [start, end] = [toText(field, selectionStart ?? 0, this.#shown), toText(field, selectionEnd ?? 0, this.#shown)];
    const isEmpty = start === end;
    for (const one of splices) {
      // A selection does not take in what is inserted at its edges.
      start = moved(start, one, isEmpty);
      end = isEmpty ? start : moved(end, one, true);
    }
    const last = splices.at(-1) as Splice;
    if (this.#follows) start = end = last.index + last.inserted.length;
    field.value = shownOf(field, text);
    this.#shown = text;
    this.#select(start, Math.max(start, end), selectionDirection ?? "none");
    if (!this.#follows) [field.scrollTop, field.scrollLeft] = [scrollTop, scrollLeft];
    this.#follows = false;
    this.#shift(splices);
    this.#draw();
  }

  #showWhole(): void {
    const text = this.#place.text;
    this.#field.readOnly = this.#wasReadOnly || text === undefined;
    this.#shown = text ?? "";
    const shown = shownOf(this.#field, this.#shown);
    const { value, selectionStart, selectionEnd } = this.#field;
    const one = spliceBetween(value, shown);
    if (one) {
      this.#field.value = shown;
      if (hasFocus(this.#field)) this.#field.setSelectionRange(moved(selectionStart ?? 0, one), moved(selectionEnd ?? 0, one));
    }
    this.#draw();
  }

  #select(start: number, end: number, direction: "forward" | "backward" | "none"): void {
    const field = this.#field;
    // Elsewhere it would take the focus in some browsers.
    if (!hasFocus(field)) return;
    const at = (place: number) => shownOf(field, this.#shown.slice(0, place)).length;
    field.setSelectionRange(at(start), at(end), direction);
  }

  #say(): void {
    if (this.#composing) return;
    const field = this.#field;
    if (!hasFocus(field) || this.#place.text === undefined) return this.#carets.say(undefined);
    const [start, end] = [toText(field, field.selectionStart ?? 0, this.#place.text), toText(field, field.selectionEnd ?? 0, this.#place.text)];
    this.#carets.say(field.selectionDirection === "backward" ? { anchor: end, head: start } : { anchor: start, head: end });
  }

  /** Until it is known where the carets of others stand they go along with the text. */
  #shift(splices: readonly Splice[]): void {
    const along = (at: number) => splices.reduce((at, one) => moved(at, one, false), at);
    this.#drawn = this.#drawn.map((caret) => ({ ...caret, anchor: along(caret.anchor), head: along(caret.head) }));
  }

  #draw(): void {
    const at = (place: number) => shownOf(this.#field, (this.#place.text ?? "").slice(0, place)).length;
    this.#overlay.draw(this.#drawn.map((caret) => ({ ...caret, anchor: at(caret.anchor), head: at(caret.head) })));
  }
}

/** What was typed into a field that showed `old`. */
function splice(old: string, field: Field): Splice | undefined {
  const typed = spliceBetween(shownOf(field, old), field.value, field.selectionEnd ?? undefined);
  if (!typed) return undefined;
  const index = toText(field, typed.index, old);
  return { index, deleted: toText(field, typed.index + typed.deleted, old) - index, inserted: typed.inserted };
}

/** How a field shows a text: a line of input has no line breaks, and in a text area each is one unit. */
function shownOf(field: Field, text: string): string {
  return field instanceof HTMLInputElement ? text.replace(/[\r\n]/g, "") : text.replace(/\r\n?/g, "\n");
}

/** Where in a text a place of what is shown of it stands. */
function toText(field: Field, shown: number, text: string): number {
  if (shownOf(field, text).length === text.length) return shown;
  let at = shown;
  while (at < text.length && shownOf(field, text.slice(0, at)).length < shown) at += 1;
  return at;
}

function hasFocus(field: Field): boolean {
  return (field.getRootNode() as Document | ShadowRoot).activeElement === field;
}
