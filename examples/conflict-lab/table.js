/** A table of the lab: a row for each key, kept while its values change, with what is in dispute marked. */

export class Table {
  #body;
  #template;
  #made;
  #rows = new Map();

  /** `made` is called with the key and element of each new row. */
  constructor(body, template, made) {
    this.#body = body;
    this.#template = template;
    this.#made = made;
  }

  /** Shows `items`, which stand at the key `root`, and of which the document holds those of `held`; `each` fills a row. */
  show(root, items, held, conflicts, each) {
    const gone = new Set(this.#rows.keys());
    for (const [key, item] of Object.entries(items)) {
      gone.delete(key);
      const row = this.#rows.get(key) ?? this.#row(key);
      row.element.querySelector(".name").textContent = item.name ?? item.who ?? key;
      row.begin(conflicts.filter(({ path, state }) => path[0] === root && path[1] === key && (state === "open" || state === "projected")), Object.hasOwn(held, key));
      each(row, item);
    }
    for (const key of gone) {
      this.#rows.get(key).element.remove();
      this.#rows.delete(key);
    }
  }

  #row(key) {
    const row = new Row(this.#template.content.firstElementChild.cloneNode(true));
    this.#rows.set(key, row);
    this.#body.append(row.element);
    this.#made(key, row.element);
    return row;
  }
}

class Row {
  #conflicts = [];
  #before = new Map();

  constructor(element) {
    this.element = element;
  }

  /** What only a rule shows is to be settled before anybody can edit it. */
  begin(conflicts, isHeld) {
    this.#conflicts = conflicts;
    const states = conflicts.filter(({ path }) => path.length === 2).map(({ state }) => state);
    this.element.classList.toggle("disputed", states.includes("open"));
    this.element.querySelector(".by").textContent = states.includes("projected") ? "by rule" : "";
    for (const control of this.element.querySelectorAll("input, select, button")) control.disabled = !isHeld;
  }

  /** Shows the value of a field, and what is to be said of it. */
  field(selector, value, name) {
    const shown = this.element.querySelector(selector);
    const cell = shown.closest(".cell");
    if (shown !== document.activeElement || shown.value === "") shown.value = value;
    const conflict = this.#conflicts.find(({ path }) => path[2] === name);
    cell.classList.toggle("disputed", conflict?.state === "open");
    const by = cell.querySelector(".by");
    if (by) by.textContent = conflict?.state === "projected" ? "by rule" : "";
    if (this.#before.has(name) && this.#before.get(name) !== value) flash(cell);
    this.#before.set(name, value);
  }
}

function flash(cell) {
  cell.classList.remove("flash");
  // Read, so that the animation begins again.
  void cell.offsetWidth;
  cell.classList.add("flash");
}
