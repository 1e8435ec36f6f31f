/** The page of the CodeMirror tests: an editor on the body of the document. */

import { EditorState } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";

import { collaborate, markKeys, toggleMark } from "#dist/codemirror.js";

declare global {
  // eslint-disable-next-line no-var
  var view: EditorView;
  // eslint-disable-next-line no-var
  var edit: (name: string) => void;
  // eslint-disable-next-line no-var
  var toggle: typeof toggleMark;
}

globalThis.toggle = toggleMark;
globalThis.edit = (name) => {
  const extensions = [collaborate(globalThis.doc, ["body"], { person: { name } }), keymap.of(markKeys)];
  globalThis.view = new EditorView({ state: EditorState.create({ extensions }), parent: document.body });
  globalThis.view.focus();
};
