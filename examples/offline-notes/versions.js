/** The drawer with the versions of a notebook: who wrote when, what was different then, and the way back. */

import { icon } from "/shared/icons.js";

import { counted } from "./words.js";

/** How many are listed, the newest first. */
const SHOWN_MAX = 60;

export class Versions {
  #dialog;
  #document;
  #stop = () => undefined;

  constructor(dialog) {
    this.#dialog = dialog;
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("keydown", ({ key }) => key === "Escape" && dialog.close());
    dialog.addEventListener("close", () => this.#stop());
  }

  /** Shows those of a device's notebook, and new ones as they come. */
  open({ name, document }) {
    this.#stop();
    this.#document = document;
    this.#dialog.querySelector("h2").textContent = `Versions on ${name}`;
    let due;
    const stop = document.subscribe(() => (due ??= setTimeout(() => ((due = undefined), void this.#list()), 100)));
    this.#stop = () => {
      clearTimeout(due);
      stop();
    };
    if (!this.#dialog.open) this.#dialog.show();
  }

  async #list() {
    const all = await this.#document.history;
    // What every notebook begins with was written by nobody, at no time.
    const history = all.filter(({ time }) => time.getTime() > 0);
    const list = this.#dialog.querySelector(".versions");
    const known = new Map([...list.children].map((item) => [item.dataset.change, item]));
    // The value now is not a version to go back to.
    const items = history.slice(-SHOWN_MAX - 1, -1).toReversed().map((version) => known.get(version.change) ?? this.#item(version));
    list.replaceChildren(...items);
    const none = "Nothing to go back to yet: each change that you make from now on is a version.";
    this.#dialog.querySelector(".said").textContent = items.length === 0 ? none : `${counted(history.length, "version")} kept.`;
  }

  #item({ change, author, time, operations }) {
    const item = globalThis.document.querySelector("#version").content.firstElementChild.cloneNode(true);
    item.dataset.change = change;
    const when = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    item.querySelector("summary span").textContent = `${when} · ${author ?? "somebody else"}`;
    item.querySelector("summary small").textContent = counted(operations, "edit");
    item.addEventListener("toggle", () => item.open && void this.#show(item, change));
    item.querySelector("button").addEventListener("click", () => void this.#document.restore(change));
    return item;
  }

  async #show(item, change) {
    const [then, patches] = await Promise.all([this.#document.at(change), this.#document.diff(change)]);
    const titles = (then.notes ?? []).map(({ title, done }) => {
      const line = globalThis.document.createElement("li");
      line.append(icon(done ? "square-check" : "square"), title);
      return line;
    });
    item.querySelector(".then").replaceChildren(...titles);
    item.querySelector("p").textContent = patches.length === 0 ? "The same as now." : `${counted(titles.length, "note")} then; ${counted(patches.length, "difference")} to now.`;
    item.querySelector("button").disabled = patches.length === 0;
  }
}
