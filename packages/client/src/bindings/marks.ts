/**
 * Marks of a text as a CodeMirror editor shows them, and the commands that make them.
 *
 * Owns their look and their keys. Which text it is, and when its marks have changed, is for whoever binds the editor to say.
 */

import { Facet, StateEffect, StateField } from "@codemirror/state";
import { type Command, Decoration, type DecorationSet, EditorView, type KeyBinding } from "@codemirror/view";

import { isSame, said } from "../marks.js";
import type { MarkOptions, Text } from "../values.js";
import type { Mark, MarkValue, Path } from "../wasm/rejoin.js";
import type { AnyDocument } from "./place.js";
import { textAt } from "./splice.js";

/** Where the text of an editor is. */
export type Markable = { readonly document: AnyDocument; readonly path: () => Path | undefined };

export const markable = Facet.define<Markable, Markable | undefined>({ combine: ([first]) => first });

/** The marks of the text that the editor shows are these. */
export const setMarks = StateEffect.define<readonly Mark[]>();

/** Elements that say the same to who can't see them. */
const TAGS: Readonly<Record<string, string>> = { bold: "strong", italic: "em", underline: "u", strike: "s", code: "code" };

/**
 * A command that marks what is selected, or takes the mark away if all of it has it: `toggleMark("bold")`, or `toggleMark("link", address)`.
 * Does nothing where nothing is selected, or the editor is not bound by `collaborate`.
 */
export function toggleMark(name: string, value: MarkValue = true, options?: MarkOptions): Command {
  return (view) => {
    const { document, path: find } = view.state.facet(markable) ?? {};
    const path = find?.();
    const { from, to } = view.state.selection.main;
    if (!document || !path || from === to || view.state.readOnly || textAt(document.value, path) !== view.state.sliceDoc()) return false;
    const isMarked = said(document.marks(path), from, to, name).every((piece) => isSame(piece.value, value));
    document.change((draft: object) => {
      const text = path.reduce<unknown>((at, step) => (at as Record<string | number, unknown>)[step], draft) as Text;
      if (isMarked) text.unmark(from, to, name);
      else text.mark(from, to, name, value, options);
    });
    return true;
  };
}

/** Keys for bold, italic and underlined text, as people know them. */
export const markKeys: readonly KeyBinding[] = [
  { key: "Mod-b", run: toggleMark("bold"), preventDefault: true },
  { key: "Mod-i", run: toggleMark("italic"), preventDefault: true },
  { key: "Mod-u", run: toggleMark("underline"), preventDefault: true },
];

/** Marks go along with the text until it is known what became of them. */
export const marks = StateField.define<DecorationSet>({
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

export const markLook = EditorView.baseTheme({
  ".rejoin-mark-bold": { fontWeight: "700" },
  ".rejoin-mark-italic": { fontStyle: "italic" },
  ".rejoin-mark-underline, .rejoin-mark-link": { textDecoration: "underline" },
  ".rejoin-mark-strike": { textDecoration: "line-through" },
  ".rejoin-mark-code": { fontFamily: "ui-monospace, monospace" },
});
