/**
 * A page's edits under the page's numbers and under the engine's: up to which of them all is saved, and acknowledged.
 *
 * Knows nothing of what the edits are.
 */

export class Numbers {
  /** The last change of the engine that was made here. */
  engine = 0;
  /** The last edit of the page that is in a change of the engine. */
  #page = 0;
  #changes: { engine: number; page: number }[] = [];
  readonly #reached = { saved: 0, acknowledged: 0 };
  /** Those under which the page waits. */
  readonly #settled = { saved: 0, acknowledged: 0 };

  /** The page's edits up to this one are in the engine's last change, or in one before. */
  made(page: number): void {
    this.#page = page;
    this.#changes.push({ engine: this.engine, page });
    this.#settle();
  }

  /** The engine's changes up to this one are saved, or acknowledged. */
  reached(what: "saved" | "acknowledged", engine: number): void {
    this.#reached[what] = Math.max(this.#reached[what], engine);
    this.#settle();
  }

  /** The page's edits up to this one are kept on this device, though some are no changes yet. */
  kept(page: number): void {
    this.#settled.saved = Math.max(this.#settled.saved, page);
  }

  /** The engine's changes up to which all are saved. */
  get saved(): number {
    return this.#reached.saved;
  }

  /** The page's edits up to which all are saved, and acknowledged. */
  get settled(): { saved: number; acknowledged: number } {
    return { ...this.#settled };
  }

  #settle(): void {
    for (const what of ["saved", "acknowledged"] as const) {
      const page = this.#changes.findLast(({ engine }) => engine <= this.#reached[what])?.page ?? 0;
      this.#settled[what] = Math.max(this.#settled[what], page);
    }
    const both = Math.min(this.#reached.saved, this.#reached.acknowledged);
    this.#changes = this.#changes.filter(({ engine, page }) => engine > both || page === this.#page);
  }
}
