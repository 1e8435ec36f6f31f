/**
 * The edits of one document that wait for its history: the page's, in memory and kept on this device, and those that earlier page loads left.
 *
 * Owns their order, and what is told of them. What they were made on, and when they can be changes, is the document's business.
 */

import type { Shown } from "./diff.js";
import { RejoinError } from "./errors.js";
import { differences, edited, shownOf, withInit } from "./mirror.js";
import { bringing, rebase } from "./rebase.js";
import { type Base, type Entry, type Gone, type Series, type Shelf, waits } from "./shelf.js";
import type { Status } from "./status.js";
import type { InitKey } from "./wire.js";
import type { Edit, OutboxEntry, Path } from "./wasm/rejoin.js";

/** The edits of one change, and how many of them bring something. */
export type WaitingEdit = { edits: Edit[]; brings: number; time: number; kept?: Kept };

/** What the page has edited at once, under its number. */
export type PageEdit = WaitingEdit & { change: number; refused: number };

/** Where edits are kept. */
export type Kept = { series: Series; entry: Entry };

/** What an earlier page load has left. */
export type Left = { series: Series; entries: readonly Entry[] };

export class Waiting {
  readonly #shelf: Shelf;
  readonly #document: string;
  readonly #told: () => void;
  #page: PageEdit[] = [];
  /** Where the page's are kept. */
  #own: Series | undefined;
  /** What earlier page loads left, and has to wait still. Who makes it changes takes it out. */
  adopted: Left[] = [];
  /** All of what they keep is in the engine, which has saved it once it has saved this change. */
  #over: { series: Series; saved: number }[] = [];

  /** `told` is called when what is told of them is another. */
  constructor(shelf: Shelf, document: string, told: () => void) {
    this.#shelf = shelf;
    this.#document = document;
    this.#told = told;
  }

  /** Takes over what nobody has any more; calls `late` when there is more of that. */
  async adopt(late: () => void): Promise<Left[]> {
    const adopted = (await this.#shelf.adopt(this.#document, this.#told, late)).map((series) => ({ series, entries: series.entries.slice() }));
    this.adopted.push(...adopted);
    this.#told();
    return adopted;
  }

  /** What was left is in sight: what the page edits from now on is on top of it. */
  goOn({ series }: Left): void {
    this.#own ??= series;
  }

  /** One more of the page, as it is after those before it. `base` gives what they were made on. */
  add(edit: PageEdit, base: () => Base): void {
    const series = (this.#own ??= this.#shelf.begin(this.#document, base(), this.#told));
    this.#page.push({ ...edit, kept: { series, entry: series.add(edit.edits, edit.time) } });
  }

  /** Something has come below what the page has edited; gives the same as it is on top of that. */
  come(edits: Edit[]): Edit[] {
    return this.#page.reduce((come, held) => {
      const [own, across] = rebase(held.edits, come);
      held.edits = own;
      return across;
    }, edits);
  }

  /** Whether any of the page's wait. */
  get any(): boolean {
    return this.#page.length > 0;
  }

  /** Whether anything that waits is in sight, or about to be. */
  get shows(): boolean {
    return this.any || this.adopted.length > 0;
  }

  /** The page's number of the last of its edits that are all kept on this device. */
  get kept(): number {
    const unkept = this.#page.findIndex(({ kept }) => !kept?.entry.kept);
    return (unkept < 0 ? this.#page.at(-1) : this.#page[unkept - 1])?.change ?? 0;
  }

  /** Does all that the page has waiting, in order; then that is in the engine's changes up to `saved()`. */
  each(act: (edit: PageEdit) => void, saved: () => number): void {
    const page = this.#page;
    this.#page = [];
    page.forEach(act);
    const own = this.#own;
    this.#own = undefined;
    if (own) this.over(own, saved());
  }

  /** All of a series is in the engine's changes up to `saved`, unless the page goes on with it. */
  over(series: Series, saved: number): void {
    if (series === this.#own) return;
    this.#over.push({ series, saved });
  }

  /** The engine has saved its changes up to this one. */
  saved(change: number): void {
    for (const over of this.#over) {
      if (over.saved > change) continue;
      over.saved = Infinity;
      void over.series.tidy();
    }
    this.#over = this.#over.filter(({ series }) => series.entries.length > 0);
  }

  /** A status with what waits, beside what the page counts by itself. */
  counted<S extends Status>(status: S): S {
    const waiting = this.adopted.flatMap(({ entries }) => entries.filter(waits)).length;
    const gone = this.#entries().filter(({ entry }) => entry.gone).length;
    let { state } = status;
    if (this.#own?.failing && state !== "failed") state = "storage-full";
    else if (gone > 0 && state !== "failed" && state !== "storage-full") state = "rejected";
    else if (waiting > 0 && state === "synced") state = "syncing";
    return { ...status, state, pending: status.pending + waiting, rejected: status.rejected + gone };
  }

  /** What of it an outbox shows. */
  get outbox(): OutboxEntry[] {
    const shown = this.#entries().filter(({ entry }) => entry.kept && !entry.done);
    return shown.map(({ series, entry: { n, edits, time, gone } }) => {
      const entry = { change: `${series.id}-${n}`, operations: edits.length, time: new Date(time) };
      return gone ? { ...entry, state: "rejected", ...gone } : { ...entry, state: "waits" };
    });
  }

  /** What of it is in no change, as an export has it. */
  get text(): string {
    return this.#series().map(({ text }) => text).join("");
  }

  /** Where it writes. */
  get paths(): Path[] {
    const edits = this.#entries().flatMap(({ entry }) => (entry.done ? [] : entry.edits));
    return edits.map((edit) => (edit[0] === "put" || edit[0] === "delete" || edit[0] === "increment" ? [...edit[1], edit[2]] : edit[1]));
  }

  /** Whether an outbox shows something under this name that can be let go; then it is. `undefined` if it shows nothing so. */
  discard(change: string, again: boolean): boolean | undefined {
    const found = this.#entries().find(({ series, entry }) => `${series.id}-${entry.n}` === change);
    if (!found) return undefined;
    if (again || !found.entry.gone) return false;
    void found.series.discard(found.entry).then(this.#told);
    return true;
  }

  /** Waits until the page's are kept, or can't be; gives how many are not. */
  async settle(): Promise<number> {
    await this.#own?.settled;
    return this.#page.filter(({ kept }) => !kept?.entry.kept).length;
  }

  /** Leaves what is kept to others. */
  leave(): void {
    for (const series of this.#series()) series.free();
  }

  #series(): Series[] {
    const held = [...this.adopted, ...this.#over].map(({ series }) => series);
    return [...new Set(this.#own ? [...held, this.#own] : held)];
  }

  #entries(): Kept[] {
    return this.#series().flatMap((series) => series.entries.map((entry) => ({ series, entry })));
  }
}

/** What an earlier page load has left, on top of what has `come` since to what it was made on. */
export function across(entries: readonly Entry[], come: Edit[]): Edit[] {
  return entries.flatMap(({ edits }) => {
    const [own, rest] = rebase(edits, come);
    come = rest;
    return own;
  });
}

/** An edit waits no more: it is in the document, but for what has no place there. */
export function end({ series, entry }: Kept, isGone: boolean): [Uint8Array, Uint8Array] {
  return series.end(entry, isGone ? { code: "place-gone", reason: "what was edited is not there any more" } : undefined);
}

/** An edit waits no more, and is not in the document. */
export function refuse({ series, entry }: Kept, { message }: Error): void {
  series.end(entry, { code: "refused", reason: message } satisfies Gone);
  keep({ series, entry });
}

/** Keeps what has become of an edit by itself. */
export function keep({ series, entry }: Kept): void {
  entry.dirty = true;
  series.save();
}

export function before(): RejoinError {
  return new RejoinError("refused", "an edit before it was refused");
}

/**
 * Makes what an earlier page load has left changes, each by `make`, which gives what is shown then. Its places are those that lead from what it
 * was made on to what is `shown`. `fails` says whether an error is no answer.
 */
export function replay(
  { series, entries }: Left,
  shown: Shown,
  init: readonly InitKey[],
  make: (shown: Shown, edit: WaitingEdit) => Shown,
  fails: () => boolean,
): void {
  let base = series.base && withInit(shownOf(series.base.value), init);
  if (!base) return;
  let come: Edit[] | undefined;
  let refused: RejoinError | undefined;
  for (const entry of entries) {
    if (!waits(entry)) {
      // It is in what is shown.
      base = edited(base, entry.edits);
      continue;
    }
    let edits: Edit[];
    [edits, come] = rebase(entry.edits, come ?? differences(base, shown));
    const kept = { series, entry };
    try {
      if (refused) throw refused;
      shown = make(shown, { edits, brings: bringing(entry.edits), time: entry.time, kept });
    } catch (error) {
      if (fails()) throw error;
      refuse(kept, error as Error);
      refused = before();
    }
  }
}
