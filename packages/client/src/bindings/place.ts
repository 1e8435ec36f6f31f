/**
 * The text of a document that an editor shows, and how the editor's splices get into it.
 *
 * Owns what is common to all editors: where the text is, reading it, writing to it in one change, and hearing what others make of it.
 * Draws nothing and knows no editor.
 */

import type { SyncDocument } from "../document.js";
import type { Text } from "../values.js";
import type { Path } from "../wasm/rejoin.js";
import { rebased, type Splice, spliceBetween, spliced, splicesOf, textAt } from "./splice.js";

/** Documents of any type: what an editor needs of them is the text alone. */
export type AnyDocument = SyncDocument<any, any>;

/** Where a text is: its path, or what finds it in the value as that is now, for one in a list that moves. */
export type TextPath<D = AnyDocument> = Path | ((value: D extends SyncDocument<infer T, infer _P> ? SyncDocument<T>["value"] : never) => Path | undefined);

export class Place<D extends AnyDocument = AnyDocument> {
  readonly #document: D;
  readonly #path: TextPath<D>;
  readonly #stop: () => void;
  /** The text that the editor shows. */
  #text: string | undefined;

  /** `heard` is called with the splices that lead from the text that the editor shows to the one there is now; with none if the text has come or gone. */
  constructor(document: D, path: TextPath<D>, heard: (text: string | undefined, splices: readonly Splice[]) => void) {
    this.#document = document;
    this.#path = path;
    this.#text = textAt(document.value, this.path);
    this.#stop = document.subscribe(({ value, patches }) => {
      const [old, path] = [this.#text, this.path];
      const now = textAt(value, path);
      if (now === old) return;
      this.#text = now;
      heard(now, path && old !== undefined && now !== undefined ? splicesOf(patches, path, old, now) : []);
    });
  }

  get document(): D {
    return this.#document;
  }

  /** The text as it was told last, own splices included; `undefined` if there is none. */
  get text(): string | undefined {
    return this.#text;
  }

  get path(): Path | undefined {
    return typeof this.#path === "function" ? this.#path(this.#document.value) : this.#path;
  }

  /**
   * Writes splices of the text as it was told last, one after the other, as one change. What others have made of it and is yet to be told
   * keeps its place. False if there is no text.
   */
  write(splices: readonly Splice[]): boolean {
    const path = this.path;
    const [old, now] = [this.#text, textAt(this.#document.value, path)];
    if (!path || old === undefined || now === undefined) return false;
    const written = spliced(old, splices);
    const own = old === now ? undefined : spliceBetween(old, written);
    const placed = own ? rebased(own, splicesOf([], path, old, now)) : splices;
    // Before the change, which may tell at once.
    this.#text = written;
    this.#document.change((draft: object) => {
      const text = path.reduce<unknown>((at, step) => (at as Record<string | number, unknown>)[step], draft) as Text;
      for (const { index, deleted, inserted } of placed) text.splice(index, deleted, inserted);
    });
    return true;
  }

  stop(): void {
    this.#stop();
  }
}
