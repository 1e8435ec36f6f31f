/** One note in a list: title and text that several people write in at once, steps to tick off, and a counter. */

import { bind } from "@rejoin/client/textarea";

/** Loaded beside all else: until it is there texts are shown as they are. */
const editor = import("./body.js");

export class Note {
  #document;
  #id;
  #title;
  #body;
  #isGone = false;
  #tasks = new Map();

  constructor(document, id, person) {
    this.#document = document;
    this.#id = id;
    this.element = globalThis.document.querySelector("#note").content.firstElementChild.cloneNode(true);
    this.#title = bind(this.#find(".title"), document, (value) => this.#path(value, "title"), { person });
    void editor.then(({ edit }) => {
      if (!this.#isGone) this.#body = edit(this.#find(".fields"), document, (value) => this.#path(value, "body"), person);
    });
    this.#find(".done").addEventListener("change", ({ target }) => this.#edit((note) => void (note.done = target.checked)));
    this.#find(".like").addEventListener("click", () => this.#edit((note) => note.likes.increment()));
    this.#find(".remove").addEventListener("click", () => this.#edit((_, notes, index) => void notes.splice(index, 1)));
    this.#find(".add-task").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = event.target.elements.task;
      const text = field.value.trim();
      if (text) this.#edit((note) => void note.tasks.push({ id: crypto.randomUUID(), text, done: false }));
      field.value = "";
    });
  }

  show({ title, body, done, likes, tasks }) {
    if (!this.#body) this.#find(".body").textContent = body;
    this.element.classList.toggle("is-done", done);
    this.#find(".done").checked = done;
    this.#find(".done").setAttribute("aria-label", `Done: ${title}`);
    const like = this.#find(".like");
    like.classList.toggle("is-liked", likes > 0);
    like.querySelector(".count").textContent = likes || "";
    like.setAttribute("aria-label", `One more heart. ${likes} so far`);
    this.#showTasks(tasks);
  }

  /** Something of it came from somebody else. */
  flash() {
    this.element.classList.remove("has-come");
    // Read, so that the animation begins anew.
    void this.element.offsetWidth;
    this.element.classList.add("has-come");
  }

  remove() {
    this.#isGone = true;
    this.#title.unbind();
    this.#body?.destroy();
    this.element.remove();
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }

  #path({ notes = [] }, key) {
    const index = notes.findIndex(({ id }) => id === this.#id);
    return index < 0 ? undefined : ["notes", index, key];
  }

  #edit(write) {
    this.#document.change(({ notes = [] }) => {
      const index = notes.findIndex(({ id }) => id === this.#id);
      if (index >= 0) write(notes[index], notes, index);
    });
  }

  #editTask(id, write) {
    this.#edit(({ tasks }) => {
      const index = tasks.findIndex((task) => task.id === id);
      if (index >= 0) write(tasks[index], tasks, index);
    });
  }

  #showTasks(tasks) {
    const list = this.#find(".tasks");
    const gone = new Set(this.#tasks.keys());
    tasks.forEach(({ id, text, done }, index) => {
      gone.delete(id);
      const row = this.#tasks.get(id) ?? this.#task(id);
      if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
      row.querySelector(".tick").checked = done;
      row.querySelector(".tick").setAttribute("aria-label", `Step done: ${text}`);
      const field = row.querySelector(".task-text");
      if (field.value !== text && globalThis.document.activeElement !== field) field.value = text;
    });
    for (const id of gone) {
      this.#tasks.get(id).remove();
      this.#tasks.delete(id);
    }
  }

  #task(id) {
    const row = globalThis.document.querySelector("#task").content.firstElementChild.cloneNode(true);
    row.querySelector(".tick").addEventListener("change", ({ target }) => this.#editTask(id, (task) => void (task.done = target.checked)));
    row.querySelector(".task-text").addEventListener("change", ({ target }) => this.#editTask(id, (task) => void (task.text = target.value)));
    row.querySelector("button").addEventListener("click", () => this.#editTask(id, (_, tasks, index) => void tasks.splice(index, 1)));
    this.#tasks.set(id, row);
    return row;
  }
}
