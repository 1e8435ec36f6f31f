/** The page of the CodeMirror tests: an editor on the body of the document. */

import { EditorState } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";

import { collaborate, markAt, markKeys, toggleMark } from "#dist/codemirror.js";

declare global {
  // eslint-disable-next-line no-var
  var view: EditorView;
  // eslint-disable-next-line no-var
  var edit: (name: string, onError?: (error: unknown) => void) => void;
  // eslint-disable-next-line no-var
  var toggle: typeof toggleMark;
  // eslint-disable-next-line no-var
  var at: typeof markAt;
  /** How often the editor's text has changed. */
  // eslint-disable-next-line no-var
  var changes: number;
}

globalThis.toggle = toggleMark;
globalThis.at = markAt;
globalThis.edit = (name, onError) => {
  globalThis.changes = 0;
  const count = EditorView.updateListener.of(({ docChanged }) => void (globalThis.changes += Number(docChanged)));
  const extensions = [collaborate(globalThis.doc, ["body"], { person: { name }, ...(onError && { onError }) }), keymap.of(markKeys), count];
  globalThis.view = new EditorView({ state: EditorState.create({ extensions }), parent: document.body });
  globalThis.view.focus();
};
