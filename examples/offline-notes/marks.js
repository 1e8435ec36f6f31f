/** A mark for each change on its way; those that have arrived turn to saved before they go. */

/** How many are shown; of more, the words beside them say how many. */
const MARKS_MAX = 12;
/** How long a change that has arrived is still shown. */
const ARRIVED_MS = 2_500;

export class Marks {
  #element;
  #arrived = 0;
  #pending = 0;

  constructor(element) {
    this.#element = element;
  }

  /** Shows that so many are on their way. */
  show(pending) {
    const arrived = Math.max(this.#pending - pending, 0);
    this.#pending = pending;
    if (arrived > 0) {
      this.#arrived += arrived;
      setTimeout(() => {
        this.#arrived -= arrived;
        this.#draw();
      }, ARRIVED_MS);
    }
    this.#draw();
  }

  #draw() {
    const kinds = [...Array(this.#arrived).fill("saved"), ...Array(this.#pending).fill("waiting")].slice(-MARKS_MAX);
    while (this.#element.children.length > kinds.length) this.#element.lastChild.remove();
    while (this.#element.children.length < kinds.length) this.#element.append(document.createElement("i"));
    kinds.forEach((kind, index) => (this.#element.children[index].className = kind));
  }
}
