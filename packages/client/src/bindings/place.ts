/**
 * The text of a document that an editor shows, and how the editor's splices get into it.
 *
 * Owns what is common to all editors: where the text is, reading it, writing to it in one change, and hearing what others make of it.
 * Draws nothing and knows no editor.
 */

import type { SyncDocument } from "../document.js";
import { OPERATIONS_MAX } from "../limits.js";
import type { Text } from "../values.js";
import type { Path } from "../wasm/rejoin.js";
import type { CaretOptions } from "./carets.js";
import { pieces, rebased, type Splice, spliceBetween, spliced, splicesOf, textAt } from "./splice.js";

/** Documents of any type: what an editor needs of them is the text alone. */
export type AnyDocument = SyncDocument<any, any>;

/** Where a text is: its path, or what finds it in the value as that is now, for one in a list that moves. */
export type TextPath<D = AnyDocument> = Path | ((value: D extends SyncDocument<infer T, infer _P> ? SyncDocument<T>["value"] : never) => Path | undefined);

export type BindingOptions = CaretOptions & {
  /**
   * Called with the error, most often a `RejoinError`, when the document does not take what was typed (`outbox-full`, `closed`, …): the editor
   * then shows again what the document holds, and goes on. Without it the error is the page's, as one that nothing catches.
   */
  onError?: (error: unknown) => void;
};

/** The text at a path of a draft, where there is one. */
export function draftText(draft: object, path: Path): Text {
  return path.reduce<unknown>((at, step) => (at as Record<string | number, unknown>)[step], draft) as Text;
}

export class Place<D extends AnyDocument = AnyDocument> {
  readonly #document: D;
  readonly #path: TextPath<D>;
  readonly #onError: (error: unknown) => void;
  readonly #stop: () => void;
  /** The text that the editor shows. */
  #text: string | undefined;

  /** `heard` is called with the splices that lead from the text that the editor shows to the one there is now; with none if the text has come or gone. */
  constructor(document: D, path: TextPath<D>, { onError = (error) => reportError(error) }: BindingOptions, heard: (text: string | undefined, splices: readonly Splice[]) => void) {
    this.#document = document;
    this.#path = path;
    this.#onError = onError;
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
   * Writes splices of the text as it was told last, one after the other, as one change, or as several if they are more than one may be.
   * What others have made of it and is yet to be told keeps its place. False if they are not all written, since there is no text or the
   * document does not take them: then the text is told as the document has it.
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
    try {
      for (const piece of pieces(now, placed, OPERATIONS_MAX)) {
        this.#document.change((draft: object) => {
          const text = draftText(draft, path);
          for (const { index, deleted, inserted } of piece) text.splice(index, deleted, inserted);
        });
      }
      return true;
    } catch (error) {
      this.#text = textAt(this.#document.value, path);
      this.#failed(error);
      return false;
    }
  }

  /** Undoes the last change of this page, or redoes it. Whether anything was done. */
  async step(back: boolean): Promise<boolean> {
    try {
      return await (back ? this.#document.undo() : this.#document.redo());
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }

  /** Told when the editor is done with what it does now. */
  #failed(error: unknown): void {
    queueMicrotask(() => this.#onError(error));
  }

  stop(): void {
    this.#stop();
  }
}
