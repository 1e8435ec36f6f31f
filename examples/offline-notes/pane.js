/** One device on the page: its notes, the switch of its network, and where each change is. */

import { connect, Counter, Text } from "@rejoin/client";

import { icon } from "/shared/icons.js";

import { Marks } from "./marks.js";
import { Note } from "./note.js";
import { counted, FIELDS, inWords, placeWords } from "./words.js";

/** Whoever opens the page writes in one notebook, unless this browser was given another. */
const DOCUMENT = localStorage.getItem("document") ?? "demo/notebook";

export class Pane {
  #device;
  #link;
  #look;
  #client;
  #document;
  #notes = new Map();
  #marks;
  #pending = 0;

  constructor(device, link, look) {
    this.#device = device;
    this.#link = link;
    this.#look = look;
    this.element = document.querySelector("#pane").content.firstElementChild.cloneNode(true);
    this.element.setAttribute("aria-label", device.name);
    this.#find(".device-name").textContent = device.name;
    icon(device.icon, this.#find("h2 .icon"));
    this.#marks = new Marks(this.#find(".marks"));
    link.connected(false);
  }

  async open(url) {
    const { store, person } = this.#device;
    try {
      this.#client = await connect(url, { store, author: person, offline: this.#isOff });
      this.#document = await this.#client.open(DOCUMENT, { init: { notes: [] } });
    } catch (error) {
      this.#say({ look: "trouble", icon: "triangle-alert", words: error.message });
      this.#find(".bones").hidden = true;
      return;
    }
    this.#find(".bones").hidden = true;
    for (const part of [".add", ".pane-foot"]) this.#find(part).hidden = false;
    this.#listen();
    this.#showConflicts();
    this.#client.subscribe((status) => this.#showClient(status));
    this.#document.subscribe((news) => this.#showNews(news));
  }

  get #isOff() {
    return localStorage.getItem(`offline:${this.#device.store}`) === "yes";
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }

  #listen() {
    const network = this.#find(".switch input");
    const key = `offline:${this.#device.store}`;
    network.addEventListener("change", () => {
      if (network.checked) this.#client.goOnline();
      else this.#client.goOffline();
    });
    // The switch is for all tabs.
    globalThis.addEventListener("storage", (event) => {
      if (event.key !== key) return;
      if (event.newValue === "yes") this.#client.goOffline();
      else this.#client.goOnline();
    });
    this.#find(".add").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = event.target.elements.title;
      const title = field.value.trim();
      if (!title) return field.focus();
      const note = { id: crypto.randomUUID(), title: new Text(title), body: new Text(), done: false, likes: new Counter(), tasks: [] };
      this.#document.change((draft) => {
        // Gone where the server refused even the empty list.
        draft.notes ??= [];
        draft.notes.push(note);
      });
      field.value = "";
    });
    this.#find(".undo").addEventListener("click", () => this.#document.undo());
    this.#find(".redo").addEventListener("click", () => this.#document.redo());
    const { name } = this.#device;
    this.#find(".look").addEventListener("click", () => this.#look.inside({ name, client: this.#client }));
    this.#find(".back").addEventListener("click", () => this.#look.versions({ name, document: this.#document }));
  }

  #showClient({ connected, storage }) {
    this.#find(".switch input").checked = this.#client.online;
    localStorage.setItem(`offline:${this.#device.store}`, this.#client.online ? "no" : "yes");
    this.#link.connected(connected);
    this.element.classList.toggle("is-offline", !connected);
    const known = this.#find(".memory");
    if (storage === "device" || known) return;
    const notice = document.createElement("div");
    notice.className = "notice amber memory";
    const words = document.createElement("span");
    words.textContent = "This browser keeps nothing for this page: what the server does not have is lost when you close it.";
    notice.append(icon("triangle-alert"), words);
    this.#find(".notices").append(notice);
  }

  #showNews({ value, status, patches }) {
    // What others made comes without one of our own that waits.
    const isOthers = patches.length > 0 && status.pending + status.unsaved <= this.#pending;
    const arrived = this.#pending - status.pending;
    this.#pending = status.pending;
    this.#showNotes(value.notes ?? [], isOthers ? patches : []);
    this.#say(inWords(status));
    this.#showRefused(status.rejected);
    this.#find(".undo").disabled = !this.#document.canUndo;
    this.#find(".redo").disabled = !this.#document.canRedo;
    if (arrived > 0) void this.#link.sent(this.#find(".marks"), arrived);
    if (isOthers) void this.#link.brought(this.#find(".state .icon"));
    this.#marks.show(status.pending);
  }

  #showNotes(notes, patches) {
    const list = this.#find(".notes");
    const gone = new Set(this.#notes.keys());
    const touched = new Set(patches.flatMap(touchedBy));
    notes.forEach((note, index) => {
      gone.delete(note.id);
      const row = this.#notes.get(note.id) ?? new Note(this.#document, note.id, { name: this.#device.person });
      this.#notes.set(note.id, row);
      // Moved only if it stands elsewhere: moving takes the focus away.
      if (list.children[index] !== row.element) list.insertBefore(row.element, list.children[index] ?? null);
      row.show(note);
      if (touched.has(index)) row.flash();
    });
    for (const id of gone) {
      this.#notes.get(id).remove();
      this.#notes.delete(id);
    }
    this.#find(".empty").hidden = notes.length > 0;
  }

  /** What the two wrote against each other, for either to settle. What the server refused has notices of its own. */
  #showConflicts() {
    const { conflicts, name } = this.#document;
    const merged = (listed) => listed.filter(({ kind }) => kind !== "rejected");
    const inbox = this.#find("rejoin-conflicts");
    inbox.fields = (key) => FIELDS[key];
    inbox.places = ({ path, base }) => placeWords(path, base, this.#document.value);
    conflicts.subscribe((listed) => {
      inbox.hidden = merged(listed).length === 0;
      // Settled or not, the reader opens it; the first that is to be settled does by itself.
      if (!inbox.hidden && merged(listed).some(({ state }) => state === "open")) inbox.setAttribute("open", "");
    });
    inbox.document = {
      name,
      conflicts: {
        subscribe: (listener) => conflicts.subscribe((listed) => listener(merged(listed))),
        resolve: (id, answer, options) => conflicts.resolve(id, answer, options),
        reopen: (id) => conflicts.reopen(id),
      },
    };
  }

  /** What the server will not have, for the reader to settle. */
  #showRefused(count) {
    const notices = this.#find(".notices");
    const entries = count === 0 ? [] : this.#document.outbox.filter(({ state }) => state === "rejected");
    const shown = new Map([...notices.querySelectorAll(".refused")].map((notice) => [notice.dataset.change, notice]));
    for (const { change, operations, reason } of entries) {
      if (shown.delete(change)) continue;
      const notice = document.querySelector("#refused").content.firstElementChild.cloneNode(true);
      notice.dataset.change = change;
      notice.querySelector("span").textContent = `Refused, with ${counted(operations, "edit")}: ${reason}. It is kept here until you decide`;
      notice.querySelector(".retry").addEventListener("click", () => this.#document.retry(change));
      notice.querySelector(".discard").addEventListener("click", () => this.#document.discard(change));
      notices.append(notice);
    }
    for (const notice of shown.values()) notice.remove();
  }

  #say({ look, icon: name, words }) {
    this.element.dataset.state = look;
    icon(name, this.#find(".state .icon"));
    const line = this.#find(".state-words");
    if (line.textContent !== words) line.textContent = words;
  }
}

/** Which notes a patch touches, by where they stand. */
function touchedBy({ path, index, inserted }) {
  if (path[0] !== "notes") return [];
  return path.length > 1 ? [path[1]] : [...(inserted ?? [])].map((_, offset) => index + offset);
}
