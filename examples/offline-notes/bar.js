/** The bar over the text of a note: how words look and where they lead, and what holds where the cursor stands. */

import { markAt, toggleMark } from "@rejoin/client/codemirror";

/** What the buttons stand for, with the keys that do the same. */
const STYLES = { bold: "Mod-b", italic: "Mod-i", strike: "Mod-Shift-x", highlight: "Mod-Shift-h", link: "Mod-k" };
/** What phones and the browser's own menu ask for. */
const FORMATS = { formatBold: "bold", formatItalic: "italic", formatStrikeThrough: "strike" };
const IS_MAC = /Mac|iPhone|iPad/.test(navigator.platform);

export class Bar {
  #bar;
  #buttons;
  #form;
  #view;
  #links;
  #isPressed = false;

  /** Finds its parts in `fields`: the bar, the form for an address, and the text, which shows the bar while somebody is in it. */
  constructor(fields) {
    this.#bar = fields.querySelector(".bar");
    this.#form = fields.querySelector(".address");
    this.#buttons = [...this.#bar.querySelectorAll("button")];
    const text = fields.querySelector(".body");
    fields.addEventListener("focusin", ({ target }) => this.#show([this.#bar, this.#form, text].some((part) => part.contains(target))));
    fields.addEventListener("focusout", ({ relatedTarget }) => fields.contains(relatedTarget) || this.#show(false));
    // What moves while the mouse is down would be taken for a selection.
    text.addEventListener("pointerdown", () => {
      this.#isPressed = true;
      const listening = new AbortController();
      const done = () => {
        listening.abort();
        this.#isPressed = false;
        this.#show(text.contains(document.activeElement));
      };
      for (const end of ["pointerup", "pointercancel"]) addEventListener(end, done, { signal: listening.signal });
    });
    for (const button of this.#buttons) this.#listen(button);
    this.#listenToKeys();
    this.#listenToForm();
  }

  /** Is for the text of this editor; `marks` gives those of the text. */
  serve(view, marks) {
    this.#view = view;
    this.#links = () => marks().filter(({ name }) => name === "link");
  }

  /** Keys of the editor that do what the buttons do. */
  get keys() {
    return Object.entries(STYLES).map(([name, key]) => ({ key, preventDefault: true, run: () => this.#do(name) }));
  }

  /** The browser wants to format something by itself. Whether it is kept from that. */
  beforeInput(event) {
    if (!event.inputType.startsWith("format")) return false;
    event.preventDefault();
    const name = FORMATS[event.inputType];
    return name === undefined || this.#do(name);
  }

  /** Something in the editor has changed. */
  update({ state }) {
    for (const button of this.#buttons) {
      const isPressed = String(markAt(state, button.dataset.mark) !== undefined);
      if (button.getAttribute("aria-pressed") !== isPressed) button.setAttribute("aria-pressed", isPressed);
    }
  }

  /** Opens the page that a link leads to, with the key that does so elsewhere. */
  follow(event) {
    const link = event.ctrlKey || event.metaKey ? event.target.closest(".rejoin-mark-link") : undefined;
    const address = link && addressOf(link.dataset.value);
    if (!address) return false;
    open(address, "_blank", "noopener");
    return true;
  }

  #show(isShown) {
    if (this.#isPressed && isShown) return;
    this.#bar.hidden = !isShown;
    if (!isShown) this.#closeForm();
  }

  #listen(button) {
    const { mark } = button.dataset;
    const keys = STYLES[mark].split("-");
    const names = IS_MAC ? { Mod: "⌘", Shift: "⇧" } : { Mod: "Ctrl+", Shift: "Shift+" };
    button.title = `${button.getAttribute("aria-label")} (${keys.map((key) => names[key] ?? key.toUpperCase()).join("")})`;
    button.setAttribute("aria-keyshortcuts", keys.join("+").replace("Mod", IS_MAC ? "Meta" : "Control"));
    // The text keeps the focus and what is selected.
    button.addEventListener("mousedown", (event) => event.preventDefault());
    button.addEventListener("click", () => this.#do(mark));
  }

  /** One stop for Tab; the arrows lead from one button to the next. */
  #listenToKeys() {
    const stop = (at) => this.#buttons.forEach((button, index) => (button.tabIndex = index === at ? 0 : -1));
    stop(0);
    this.#bar.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") this.#view.focus();
      if (!by) return;
      event.preventDefault();
      const next = (this.#buttons.indexOf(document.activeElement) + by + this.#buttons.length) % this.#buttons.length;
      stop(next);
      this.#buttons[next].focus();
    });
  }

  #listenToForm() {
    const form = this.#form;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const address = addressOf(form.elements.address.value);
      form.querySelector("p").textContent = address ? "" : "That is no address of a page.";
      if (address) this.#link(address);
    });
    form.addEventListener("input", () => (form.querySelector("p").textContent = ""));
    form.addEventListener("keydown", ({ key }) => key === "Escape" && this.#view.focus());
    form.querySelector(".unlink").addEventListener("click", () => {
      const address = markAt(this.#view.state, "link");
      if (address !== undefined) toggleMark("link", address)(this.#view);
      this.#view.focus();
    });
    // Back in the text the form is done.
    this.#form.addEventListener("focusout", ({ relatedTarget }) => form.contains(relatedTarget) || this.#closeForm());
  }

  #do(name) {
    if (name === "link") this.#openForm();
    else toggleMark(name)(this.#view);
    return true;
  }

  /** Asks for the address of what is selected, of the link or else the word that the caret is in. */
  #openForm() {
    const { state } = this.#view;
    const { main } = state.selection;
    const address = markAt(state, "link");
    const inside = ({ from, to }) => from < main.head && main.head < to;
    const around = main.empty && (this.#links().find(inside) ?? state.wordAt(main.head));
    if (around) this.#view.dispatch({ selection: { anchor: around.from, head: around.to } });
    const field = this.#form.elements.address;
    field.value = address ?? "";
    const leads = address === undefined ? undefined : addressOf(String(address));
    const [link, unlink] = [this.#form.querySelector("a"), this.#form.querySelector(".unlink")];
    link.hidden = leads === undefined;
    if (leads) link.href = leads;
    unlink.hidden = address === undefined;
    this.#bar.hidden = this.#form.hidden = false;
    this.#tint();
    field.focus();
    field.select();
  }

  #closeForm() {
    this.#form.hidden = true;
    this.#form.querySelector("p").textContent = "";
    globalThis.CSS?.highlights?.delete("to-be-linked");
  }

  /** Shows what is selected while the focus is with the address. */
  #tint() {
    const { from, to } = this.#view.state.selection.main;
    if (from === to || !globalThis.CSS?.highlights) return;
    const range = new Range();
    const [start, end] = [this.#view.domAtPos(from, 1), this.#view.domAtPos(to, -1)];
    range.setStart(start.node, start.offset);
    range.setEnd(end.node, end.offset);
    CSS.highlights.set("to-be-linked", new Highlight(range));
  }

  /** Links what is selected; where nothing is, the address itself is written. */
  #link(address) {
    const { main } = this.#view.state.selection;
    if (main.empty) {
      const end = main.head + address.length;
      this.#view.dispatch({ changes: { from: main.head, insert: address }, selection: { anchor: main.head, head: end }, userEvent: "input" });
    }
    if (markAt(this.#view.state, "link") !== address) toggleMark("link", address)(this.#view);
    const { to } = this.#view.state.selection.main;
    this.#view.dispatch({ selection: { anchor: to } });
    this.#view.focus();
  }
}

/** What was written, or a mark says, as the address of a page; nothing if it is none. What others have written may be anything, a script too. */
function addressOf(words) {
  const said = words.trim();
  const whole = /^(https?:\/\/|mailto:)/i.test(said) ? said : `https://${said}`;
  return said === "" || /\s/.test(said) || !URL.canParse(whole) ? undefined : new URL(whole).href;
}
