/** One device on the page: its notes, the switch of its network, and where each change is. */

import { connect, Counter, Text } from "@rejoin/client";

const DOCUMENT = "demo/notes";
/** How many changes are shown as marks; of more, the number says how many. */
const MARKS_MAX = 12;
/** How long a change that has arrived is still shown. */
const ARRIVED_MS = 2_500;

const ICONS = {
  server: "M7 18a4.5 4.5 0 0 1-.5-9A6 6 0 0 1 18 10.5a3.8 3.8 0 0 1 .5 7.500zM9.5 13.5l2 2 3.5-4",
  device: "M4 6h16v10H4zM9 20h6",
  waiting: "M12 7v5l3 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  trouble: "M12 8v5M12 16.5v.01M12 3l9.5 17h-19z",
};

export class Pane {
  #document;
  #client;
  #rows = new Map();
  #arrived = 0;
  #pending = 0;

  constructor(name) {
    this.element = document.querySelector("#pane").content.firstElementChild.cloneNode(true);
    this.element.querySelector("h2").textContent = name;
    this.element.setAttribute("aria-label", name);
  }

  async open(url, store) {
    try {
      this.#client = await connect(url, { store, offline: localStorage.getItem(`offline:${store}`) === "yes" });
      this.#document = await this.#client.open(DOCUMENT, { init: { notes: [] } });
    } catch (error) {
      this.#say("trouble", error.message);
      this.element.classList.add("closed");
      return;
    }
    this.#listen(store);
    this.#document.subscribe(({ value, status }) => {
      this.#showNotes(value.notes);
      this.#showStatus(status);
    });
  }

  #listen(store) {
    const network = this.element.querySelector(".switch input");
    network.checked = localStorage.getItem(`offline:${store}`) !== "yes";
    network.addEventListener("change", () => {
      localStorage.setItem(`offline:${store}`, network.checked ? "no" : "yes");
      if (network.checked) this.#client.goOnline();
      else this.#client.goOffline();
    });
    // The switch is for all tabs.
    globalThis.addEventListener("storage", ({ key, newValue }) => {
      if (key === `offline:${store}`) network.checked = newValue !== "yes";
    });
    this.element.querySelector(".add").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = event.target.elements.title;
      const title = field.value.trim();
      if (!title) return field.focus();
      const note = { id: crypto.randomUUID(), title: new Text(title), body: new Text(), done: false, likes: new Counter() };
      this.#document.change((draft) => void draft.notes.push(note));
      field.value = "";
    });
  }

  #edit(id, write) {
    this.#document.change((draft) => {
      const index = draft.notes.findIndex((note) => note.id === id);
      if (index >= 0) write(draft.notes[index], draft.notes, index);
    });
  }

  #showNotes(notes) {
    const list = this.element.querySelector(".notes");
    const gone = new Set(this.#rows.keys());
    notes.forEach((note, index) => {
      gone.delete(note.id);
      const row = this.#rows.get(note.id) ?? this.#row(note.id);
      // Moved only if it stands elsewhere: moving takes the focus away.
      if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
      row.classList.toggle("is-done", note.done);
      row.querySelector(".done").checked = note.done;
      setText(row.querySelector(".title"), note.title);
      setText(row.querySelector(".body"), note.body);
      row.querySelector(".like span").textContent = note.likes;
    });
    for (const id of gone) {
      this.#rows.get(id).remove();
      this.#rows.delete(id);
    }
    this.element.querySelector(".empty").hidden = notes.length > 0;
  }

  #row(id) {
    const row = document.querySelector("#note").content.firstElementChild.cloneNode(true);
    row.querySelector(".done").addEventListener("change", (e) => this.#edit(id, (note) => void (note.done = e.target.checked)));
    row.querySelector(".title").addEventListener("input", (e) => this.#edit(id, (note) => note.title.update(e.target.value)));
    row.querySelector(".body").addEventListener("input", (e) => this.#edit(id, (note) => note.body.update(e.target.value)));
    row.querySelector(".like").addEventListener("click", () => this.#edit(id, (note) => note.likes.increment()));
    row.querySelector(".remove").addEventListener("click", () => this.#edit(id, (_, notes, index) => void notes.splice(index, 1)));
    this.#rows.set(id, row);
    return row;
  }

  #showStatus({ state, pending, rejected, unsaved }) {
    const waiting = `${pending} ${pending === 1 ? "change" : "changes"} waiting`;
    if (state === "failed") this.#say("trouble", "Something broke. Load the page again: what was saved is safe");
    else if (state === "storage-full") this.#say("trouble", `This device is full: ${unsaved} only in memory`);
    else if (rejected > 0) this.#say("trouble", `The server refused ${rejected}`);
    else if (unsaved > 0) this.#say("waiting", "Saving …");
    else if (pending > 0) this.#say("waiting", `Saved on this device · ${waiting}`);
    else if (state === "synced") this.#say("server", "Saved on the server");
    else this.#say("device", "Saved on this device");
    this.element.classList.toggle("is-offline", state === "offline");
    this.#showMarks(pending);
  }

  #say(icon, words) {
    this.element.dataset.state = icon;
    this.element.querySelector(".state-icon path").setAttribute("d", ICONS[icon]);
    const line = this.element.querySelector(".state-words");
    if (line.textContent !== words) line.textContent = words;
  }

  /** A mark for each change on its way; those that have arrived turn to saved before they go. */
  #showMarks(pending) {
    const arrived = Math.max(this.#pending - pending, 0);
    this.#pending = pending;
    if (arrived > 0) {
      this.#arrived += arrived;
      setTimeout(() => {
        this.#arrived -= arrived;
        this.#drawMarks();
      }, ARRIVED_MS);
    }
    this.#drawMarks();
  }

  #drawMarks() {
    const kinds = [...Array(this.#arrived).fill("saved"), ...Array(this.#pending).fill("waiting")].slice(-MARKS_MAX);
    const marks = this.element.querySelector(".marks");
    while (marks.children.length > kinds.length) marks.lastChild.remove();
    while (marks.children.length < kinds.length) marks.append(document.createElement("i"));
    kinds.forEach((kind, index) => (marks.children[index].className = kind));
  }
}

/** Shows `text` in a field, and keeps the caret where its reader has it. */
function setText(field, text) {
  const old = field.value;
  if (old === text) return;
  const { selectionStart, selectionEnd } = field;
  let head = 0;
  while (head < Math.min(old.length, text.length) && old[head] === text[head]) head += 1;
  let tail = 0;
  while (tail < Math.min(old.length, text.length) - head && old.at(-1 - tail) === text.at(-1 - tail)) tail += 1;
  const moved = (at) => (at <= head ? at : at >= old.length - tail ? at + text.length - old.length : text.length - tail);
  field.value = text;
  if (document.activeElement === field) field.setSelectionRange(moved(selectionStart), moved(selectionEnd));
}
