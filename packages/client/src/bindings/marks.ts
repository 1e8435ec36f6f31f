/**
 * Marks of a text as a CodeMirror editor shows them, and the commands that make them.
 *
 * Owns their look and their keys, and what is chosen for what is typed next. Which text it is, and when its marks have changed, is for
 * whoever binds the editor to say.
 */

import { type EditorState, type Extension, Facet, StateEffect, StateField } from "@codemirror/state";
import { type Command, Decoration, type DecorationSet, EditorView, type KeyBinding } from "@codemirror/view";

import { isSame, said } from "../marks.js";
import type { MarkOptions } from "../values.js";
import type { Mark, MarkValue, Path } from "../wasm/rejoin.js";
import { type AnyDocument, draftText } from "./place.js";
import { textAt } from "./splice.js";

/** Where the text of an editor is. */
export type Markable = { readonly document: AnyDocument; readonly path: () => Path | undefined };

export const markable = Facet.define<Markable, Markable | undefined>({ combine: ([first]) => first });

/** The marks of the text that the editor shows are these. */
export const setMarks = StateEffect.define<readonly Mark[]>();

/** Elements that say the same to who can't see them. */
const TAGS: Readonly<Record<string, string>> = { bold: "strong", italic: "em", underline: "u", strike: "s", code: "code", highlight: "mark" };

/**
 * A command that marks what is selected, or takes the mark away if all of it has it: `toggleMark("bold")`, or `toggleMark("link", address)`.
 * Where nothing is selected it is for what is typed next, until the caret goes elsewhere. Does nothing where the editor is not bound by
 * `collaborate`.
 */
export function toggleMark(name: string, value: MarkValue = true, options?: MarkOptions): Command {
  return (view) => {
    const text = boundText(view.state);
    if (!text || view.state.readOnly) return false;
    const { from, to, empty } = view.state.selection.main;
    const wanted = { name, value: isSame(markAt(view.state, name) ?? null, value) ? null : value, options };
    if (empty) view.dispatch({ effects: choose.of(wanted) });
    else write(text, from, to, [wanted]);
    return true;
  };
}

/**
 * What the mark of that name says of all that is selected or, where nothing is, what it will say of what is typed next; nothing if there is
 * none. For a button that shows whether it is pressed, looked at again after each update of the editor.
 */
export function markAt(state: EditorState, name: string): MarkValue | undefined {
  const wanted = state.field(chosen, false)?.wanted.find((mark) => mark.name === name);
  if (wanted) return wanted.value ?? undefined;
  const text = place(state);
  if (!text) return undefined;
  const { from, to, empty } = state.selection.main;
  const marks = text.document.marks(text.path);
  if (empty) return marks.find((mark) => mark.name === name && mark.from < from && (from < mark.to || (from === mark.to && name !== "link")))?.value;
  const [first, ...others] = said(marks, from, to, name);
  return first && others.every(({ value }) => isSame(value, first.value)) ? (first.value ?? undefined) : undefined;
}

/** Keys for bold, italic and underlined text, as people know them. */
export const markKeys: readonly KeyBinding[] = [
  { key: "Mod-b", run: toggleMark("bold"), preventDefault: true },
  { key: "Mod-i", run: toggleMark("italic"), preventDefault: true },
  { key: "Mod-u", run: toggleMark("underline"), preventDefault: true },
];

/** Marks go along with the text until it is known what became of them. */
const shown = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(shown, transaction) {
    const set = transaction.effects.find((effect) => effect.is(setMarks));
    return set ? decorations(set.value as readonly Mark[], transaction.newDoc.length) : shown.map(transaction.changes);
  },
  provide: (field) => EditorView.decorations.from(field),
});

function decorations(marks: readonly Mark[], length: number): DecorationSet {
  const ranges = marks.map(({ from, to, name, value }) => {
    const decoration = Decoration.mark({
      class: `rejoin-mark-${name.replaceAll(/[^\w-]/g, "-")}`,
      attributes: { "data-value": String(value) },
      ...(Object.hasOwn(TAGS, name) && { tagName: TAGS[name] as string }),
    });
    return [decoration, from, Math.min(to, length)] as const;
  });
  return Decoration.set(ranges.filter(([, from, to]) => from < to).map(([decoration, from, to]) => decoration.range(from, to)), true);
}

/** Of no value, it takes the mark away. */
type Wanted = { readonly name: string; readonly value: MarkValue | null; readonly options: MarkOptions | undefined };

const choose = StateEffect.define<Wanted>();

/** What was chosen at the caret, where nothing was selected, and from where to where has been typed there since. */
const chosen = StateField.define<{ readonly from: number; readonly to: number; readonly wanted: readonly Wanted[] } | undefined>({
  create: () => undefined,
  update(was, transaction) {
    const { changes, newSelection } = transaction;
    const { head, empty } = newSelection.main;
    const added = transaction.effects.find((effect) => effect.is(choose))?.value as Wanted | undefined;
    if (added) return { from: head, to: head, wanted: [...(was?.wanted ?? []).filter(({ name }) => name !== added.name), added] };
    if (!was || !empty) return undefined;
    // What others write at either end is not what was typed here.
    const typed = transaction.isUserEvent("input") ? 1 : -1;
    const to = changes.mapPos(was.to, typed);
    return head === to ? { from: Math.min(changes.mapPos(was.from, -typed), to), to, wanted: was.wanted } : undefined;
  },
});

/** After the text, which is to be written first. */
const writeChosen = EditorView.updateListener.of(({ view, docChanged }) => {
  if (!docChanged || !view.state.field(chosen)) return;
  queueMicrotask(() => {
    const [text, choice] = [boundText(view.state), view.state.field(chosen)];
    if (text && choice) write(text, choice.from, choice.to, choice.wanted);
  });
});

type BoundText = { readonly document: AnyDocument; readonly path: Path };

/** Where the text is that an editor is bound to, if it is there. */
function place(state: EditorState): BoundText | undefined {
  const { document, path: find } = state.facet(markable) ?? {};
  const path = find?.();
  return document && path && { document, path };
}

/** The text that an editor is bound to, if both have the same. */
function boundText(state: EditorState): BoundText | undefined {
  const text = place(state);
  return text && textAt(text.document.value, text.path) === state.sliceDoc() ? text : undefined;
}

/** Writes marks in one change; those that are there already not again. */
function write({ document, path }: BoundText, from: number, to: number, wanted: readonly Wanted[]): void {
  const now = document.marks(path);
  const missing = wanted.filter(({ name, value }) => said(now, from, to, name).some((piece) => !isSame(piece.value, value)));
  if (missing.length === 0) return;
  document.change((draft: object) => {
    const text = draftText(draft, path);
    for (const { name, value, options } of missing) {
      if (value === null) text.unmark(from, to, name);
      else text.mark(from, to, name, value, options);
    }
  });
}

export const marks: Extension = [
  shown,
  chosen,
  writeChosen,
  EditorView.baseTheme({
    ".rejoin-mark-bold": { fontWeight: "700" },
    ".rejoin-mark-italic": { fontStyle: "italic" },
    ".rejoin-mark-underline, .rejoin-mark-link": { textDecoration: "underline" },
    ".rejoin-mark-strike": { textDecoration: "line-through" },
    ".rejoin-mark-code": { fontFamily: "ui-monospace, monospace" },
  }),
];
