/** When a page is told of an outbox: at once while it is short, of a long one now and then. Knows nothing of what is in it. */

/** The outbox is told at once as long as it has no more changes; a longer one once in so many milliseconds. */
const AT_ONCE_MAX = 50;
const EVERY_MS = 250;

export class OutboxPace {
  readonly #again: () => void;
  #due = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `again` is called when it is time to tell what was not told. */
  constructor(again: () => void) {
    this.#again = again;
  }

  /** Whether an outbox of so many changes is to be told now. */
  isDue(changes: number, now: number): boolean {
    const wait = this.#due - now;
    if (changes > AT_ONCE_MAX && wait > 0) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#again();
      }, wait);
      return false;
    }
    this.#due = now + EVERY_MS;
    return true;
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
