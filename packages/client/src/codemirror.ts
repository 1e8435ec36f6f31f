/**
 * `@rejoin/client/codemirror`: an extension by which a CodeMirror 6 editor edits a text of a document together with others.
 *
 * Owns how the editor's transactions become changes of the document and the document's patches transactions, the keys of undo and redo,
 * the marks of the text and the carets of others. Needs `@codemirror/state` and `@codemirror/view` beside it, which it does not bring.
 */

import { Annotation, EditorState, type Extension, Prec, type Range, StateEffect, StateField, Transaction, type TransactionSpec } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, keymap, ViewPlugin, type ViewUpdate, WidgetType } from "@codemirror/view";

import { Carets, type RemoteCaret } from "./bindings/carets.js";
import { markable, marks, setMarks } from "./bindings/marks.js";
import { type AnyDocument, type BindingOptions, Place, type TextPath } from "./bindings/place.js";
import { type Splice, spliceBetween } from "./bindings/splice.js";
import type { Mark } from "./wasm/rejoin.js";

export type { CaretOptions, CaretPresence, Person } from "./bindings/carets.js";
export { markAt, markKeys, toggleMark } from "./bindings/marks.js";
export type { AnyDocument, BindingOptions, TextPath } from "./bindings/place.js";

/**
 * Binds one editor to the text at `path` of a document. Its own history is not needed: undo and redo are the document's. While there is
 * no text at the path nothing can be edited. Marks are shown as elements of the class `rejoin-mark-` and their name, what they say in
 * `data-value`; `toggleMark` and `markKeys` make them.
 */
export function collaborate<D extends AnyDocument>(document: D, path: TextPath<D>, options: BindingOptions = {}): Extension {
  let isThere = false;
  const plugin = ViewPlugin.define((view) => new BoundEditor(view, document, path, options, (there) => (isThere = there)));
  const step = (back: boolean) => (view: EditorView) => {
    view.plugin(plugin)?.step(back);
    return true;
  };
  const [undo, redo] = [step(true), step(false)];
  return [
    plugin,
    marks,
    carets,
    look,
    markable.of({ document, path: () => (typeof path === "function" ? path(document.value as never) : path) }),
    // The document's text is taken unit by unit, carriage returns too.
    EditorState.lineSeparator.of("\n"),
    EditorState.changeFilter.of((transaction) => isThere || transaction.annotation(fromDocument) === true),
    Prec.high(
      keymap.of([
        { key: "Mod-z", run: undo, preventDefault: true },
        { key: "Mod-y", run: redo, preventDefault: true },
        { key: "Mod-Shift-z", run: redo, preventDefault: true },
      ]),
    ),
    Prec.high(
      EditorView.domEventHandlers({
        beforeinput: ({ inputType }, view) => (inputType === "historyUndo" ? undo(view) : inputType === "historyRedo" ? redo(view) : false),
      }),
    ),
  ];
}

/** Marks what comes from the document and is not to go into it. */
const fromDocument = Annotation.define<boolean>();
const setCarets = StateEffect.define<readonly RemoteCaret[]>();

class BoundEditor<D extends AnyDocument> {
  readonly #view: EditorView;
  readonly #place: Place<D>;
  readonly #carets: Carets;
  readonly #there: (isThere: boolean) => void;
  /** The editor shows what the document did not take. */
  #refused = false;
  readonly #stopMarks: () => void;
  #marks: readonly Mark[] = [];
  #made = false;
  #ended = false;

  constructor(view: EditorView, document: D, path: TextPath<D>, options: BindingOptions, there: (isThere: boolean) => void) {
    this.#view = view;
    this.#there = there;
    this.#place = new Place(document, path, options, (text, splices) => this.#heard(text, splices));
    this.#carets = new Carets(this.#place as unknown as Place, options, (carets) => this.#dispatch({ effects: setCarets.of(carets) }));
    there(this.#place.text !== undefined);
    this.#stopMarks = document.subscribe(() => this.#showMarks());
    // An editor that is being made takes no transactions.
    queueMicrotask(() => {
      this.#made = true;
      this.#showWhole();
      this.#showMarks();
    });
  }

  update(update: ViewUpdate): void {
    const own = update.transactions.filter((transaction) => transaction.docChanged && !transaction.annotation(fromDocument));
    const splices: Splice[] = [];
    for (const { changes } of own) {
      changes.iterChanges((fromA, toA, fromB, _toB, inserted) => {
        // A run of its own on what the runs before it have made.
        splices.push({ index: fromB, deleted: toA - fromA, inserted: inserted.toString() });
      }, true);
    }
    if (splices.length > 0 && !this.#refused && !this.#place.write(splices)) {
      this.#refused = true;
      // An editor that is being updated takes no transactions.
      queueMicrotask(() => this.#showWhole());
    }
    if (update.selectionSet || update.focusChanged || update.docChanged) this.#say();
  }

  step(back: boolean): void {
    void this.#place.step(back);
  }

  destroy(): void {
    this.#ended = true;
    this.#place.stop();
    this.#stopMarks();
    this.#carets.stop();
  }

  #heard(text: string | undefined, splices: readonly Splice[]): void {
    this.#there(text !== undefined);
    if (text === undefined || splices.length === 0 || this.#refused) return this.#showWhole();
    // One transaction, however many there are. They go from the beginning of the text to its end, each by its place after those before it.
    let grown = 0;
    const changes = splices.map(({ index, deleted, inserted }) => {
      const from = index - grown;
      grown += inserted.length - deleted;
      return { from, to: from + deleted, insert: inserted };
    });
    this.#dispatch({ changes, annotations: [fromDocument.of(true), Transaction.addToHistory.of(false), Transaction.remote.of(true)] });
    void this.#carets.refresh();
  }

  #showWhole(): void {
    this.#refused = false;
    const one = spliceBetween(this.#view.state.sliceDoc(), this.#place.text ?? "");
    if (!one) return;
    const annotations = [fromDocument.of(true), Transaction.addToHistory.of(false)];
    this.#dispatch({ changes: { from: one.index, to: one.index + one.deleted, insert: one.inserted }, annotations });
  }

  /** After the text, which is told first. */
  #showMarks(): void {
    const { path, document } = this.#place;
    const marks = path ? document.marks(path) : [];
    if (!this.#made || marks === this.#marks) return;
    this.#marks = marks;
    this.#dispatch({ effects: setMarks.of(marks) });
  }

  #dispatch(transaction: TransactionSpec): void {
    if (!this.#ended) this.#view.dispatch(transaction);
  }

  #say(): void {
    const { anchor, head } = this.#view.state.selection.main;
    this.#carets.say(this.#view.hasFocus ? { anchor, head } : undefined);
  }
}

class CaretWidget extends WidgetType {
  readonly #caret: RemoteCaret;

  constructor(caret: RemoteCaret) {
    super();
    this.#caret = caret;
  }

  override eq(other: CaretWidget): boolean {
    const [a, b] = [this.#caret, other.#caret];
    return a.id === b.id && a.name === b.name && a.color === b.color;
  }

  override toDOM(): HTMLElement {
    const { name, color } = this.#caret;
    const caret = document.createElement("span");
    caret.className = "rejoin-caret";
    caret.style.setProperty("--color", color);
    caret.setAttribute("aria-hidden", "true");
    // Not as text, which would be the editor's.
    caret.dataset.name = name;
    return caret;
  }

  override ignoreEvent(): boolean {
    return true;
  }
}

/** The carets of others, which go along with the text until it is known where they stand. */
const carets = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(shown, transaction) {
    const set = transaction.effects.find((effect) => effect.is(setCarets));
    return set ? decorations(set.value as readonly RemoteCaret[], transaction.newDoc.length) : shown.map(transaction.changes);
  },
  provide: (field) => EditorView.decorations.from(field),
});

function decorations(carets: readonly RemoteCaret[], length: number): DecorationSet {
  const found: Range<Decoration>[] = [];
  for (const caret of carets) {
    const [from, to] = [Math.min(caret.anchor, caret.head, length), Math.min(Math.max(caret.anchor, caret.head), length)];
    const attributes = { style: `--color: ${caret.color}` };
    if (from < to) found.push(Decoration.mark({ class: "rejoin-selected", attributes }).range(from, to));
    found.push(Decoration.widget({ widget: new CaretWidget(caret), side: 1 }).range(Math.min(caret.head, length)));
  }
  return Decoration.set(found, true);
}

const look = EditorView.baseTheme({
  ".rejoin-selected": { backgroundColor: "color-mix(in srgb, var(--color) 25%, transparent)" },
  ".rejoin-caret": { position: "relative", borderInlineStart: "2px solid var(--color)", marginInline: "-1px" },
  ".rejoin-caret:not([data-name=''])::after": {
    content: "attr(data-name)",
    position: "absolute",
    bottom: "100%",
    insetInlineStart: "-2px",
    padding: "0 0.4em",
    borderRadius: "0.4em 0.4em 0.4em 0",
    background: "var(--color)",
    color: "#fff",
    font: "600 0.7rem/1.35 system-ui, sans-serif",
    whiteSpace: "nowrap",
    pointerEvents: "none",
  },
});
