/** The text of a note: a CodeMirror editor in which several people write at once, with a bar for how the words look. */

import { EditorView, keymap, placeholder } from "@codemirror/view";
import { collaborate } from "@rejoin/client/codemirror";

import { Bar } from "./bar.js";

/** As the page's other fields. */
const look = EditorView.theme({
  "&": { borderRadius: "var(--round-s)" },
  "&:hover, &.cm-focused": { background: "var(--field)" },
  "&.cm-focused": { outline: "2px solid var(--green)", outlineOffset: "2px" },
  ".cm-scroller": { font: "inherit", lineHeight: "inherit", overflow: "visible" },
  ".cm-content": { padding: "0.25rem var(--s2)", caretColor: "var(--ink)" },
  ".cm-line": { padding: "0" },
  ".cm-placeholder": { color: "var(--quiet)" },
  ".rejoin-mark-highlight": { background: "color-mix(in srgb, var(--amber-mark) 22%, transparent)", color: "inherit", borderRadius: "0.2em" },
  ".rejoin-mark-link": { color: "var(--green)", textUnderlineOffset: "0.2em" },
});

/** Puts the editor of the text at `path` in its place among a note's fields. */
export function edit(fields, document, path, person) {
  const bar = new Bar(fields);
  const parent = fields.querySelector(".body");
  parent.replaceChildren();
  const view = new EditorView({
    parent,
    extensions: [
      collaborate(document, path, { person }),
      keymap.of(bar.keys),
      EditorView.domEventHandlers({ beforeinput: (event) => bar.beforeInput(event), click: (event) => bar.follow(event) }),
      EditorView.updateListener.of((update) => bar.update(update)),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ "aria-label": "Text", spellcheck: "true", autocorrect: "on", autocapitalize: "sentences" }),
      placeholder("Add details"),
      look,
    ],
  });
  bar.serve(view, () => {
    const place = path(document.value);
    return place ? document.marks(place) : [];
  });
  return view;
}
