/**
 * Carets of several people in one text: telling one's own by presence, and where those of the others stand now.
 *
 * Owns what presence says of a caret. A caret names its text by itself, so that it is found wherever the text moves. Draws nothing.
 */

import type { Cursor } from "../document.js";
import type { Peer } from "../presence.js";
import type { Path } from "../wasm/rejoin.js";
import type { AnyDocument, Place } from "./place.js";

/** Who writes, as others see it. */
export type Person = {
  readonly name: string;
  /** A CSS colour. One that goes with the name if not given. */
  readonly color?: string;
};

/** What bindings say by presence. An application that says something of its own beside it takes this into its presence's type. */
export type CaretPresence = {
  readonly person?: Person;
  /** The two ends of the selection, the caret at `head`; absent while the text has not the focus. */
  readonly caret?: { readonly anchor: Cursor; readonly head: Cursor };
};

export type CaretOptions = {
  /** Shown to others at this page's caret. Without it nobody is told of the caret, and theirs are shown all the same. */
  person?: Person;
  /** Takes the place of `document.presence.set`, for a page that says more by presence than its caret. */
  publish?: (presence: CaretPresence) => void;
};

/** Somebody else's caret, as it stands now. */
export type RemoteCaret = { readonly id: string; readonly name: string; readonly color: string; readonly anchor: number; readonly head: number };

/** Dark enough for white letters upon them, and told apart with any sight: measured against white, each has 4.5 to 1 or more. */
const COLORS = ["#0b6e4f", "#8a3ffc", "#b3401e", "#00639c", "#a11d6b", "#6b5a00", "#3d5a80", "#7a3b2e"] as const;
/** A caret that moves is told at most this often: it ends what is being typed as one change. */
const SAY_EVERY_MS = 150;
/** A caret that stands still is told again before its time is over. */
const TTL_MS = 30_000;

/** The colour that goes with a name. */
export function colorOf(name: string): string {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) >>> 0;
  return COLORS[sum % COLORS.length] as string;
}

export class Carets {
  readonly #document: AnyDocument;
  readonly #place: Place;
  readonly #options: CaretOptions;
  readonly #show: (carets: readonly RemoteCaret[]) => void;
  readonly #stop: () => void;
  #peers: readonly Peer<unknown>[] = [];
  #said: { anchor: number; head: number } | undefined;
  #turn = 0;
  #reading = 0;
  /** Which text it is, by how cursors name it, and where that was found. */
  #text: { path: string; name: string } | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;
  #again: ReturnType<typeof setInterval> | undefined;

  /** `show` is called with the carets of others in the text of `place`, whenever they or the text have moved. */
  constructor(place: Place, options: CaretOptions, show: (carets: readonly RemoteCaret[]) => void) {
    this.#document = place.document;
    this.#place = place;
    this.#options = options;
    this.#show = show;
    this.#stop = this.#document.presence.subscribe((peers) => {
      this.#peers = peers;
      void this.refresh();
    });
  }

  /** Says where this page's selection is; nothing if the text has lost the focus. */
  say(selection: { anchor: number; head: number } | undefined): void {
    if (!this.#options.person || same(selection, this.#said)) return;
    const had = this.#said !== undefined;
    this.#said = selection;
    clearInterval(this.#again);
    if (selection) {
      this.#again = setInterval(() => void this.#publish(), TTL_MS / 2);
      this.#soon ??= setTimeout(() => void this.#publish(), SAY_EVERY_MS);
    } else if (had) void this.#publish();
  }

  /** Looks again where the carets of others stand. */
  async refresh(): Promise<void> {
    const turn = (this.#reading += 1);
    const found = await Promise.all(this.#peers.map((peer) => this.#locate(peer)));
    if (turn === this.#reading) this.#show(found.filter((caret) => caret !== undefined));
  }

  stop(): void {
    this.say(undefined);
    this.#stop();
    this.#reading += 1;
    clearInterval(this.#again);
    clearTimeout(this.#soon);
  }

  async #publish(): Promise<void> {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    const turn = (this.#turn += 1);
    const { person } = this.#options;
    const caret = await this.#caret();
    if (turn !== this.#turn || !person) return;
    const presence: CaretPresence = caret ? { person, caret } : { person };
    if (this.#options.publish) this.#options.publish(presence);
    else this.#document.presence.set(presence, { ttl: TTL_MS });
  }

  async #caret(): Promise<CaretPresence["caret"]> {
    const [said, path, text] = [this.#said, this.#place.path, this.#place.text];
    if (!said || !path || text === undefined) return undefined;
    const cursor = async (at: number) => this.#document.cursor(path, Math.min(at, text.length));
    try {
      const [anchor, head] = await Promise.all([cursor(said.anchor), cursor(said.head)]);
      this.#text = { path: JSON.stringify(path), name: textOf(head) };
      return { anchor, head };
    } catch {
      // The text has gone meanwhile, or the document was closed.
      return undefined;
    }
  }

  /** Asked once for each place: a cursor ends what is being typed as one change. */
  async #name(path: Path): Promise<string> {
    const key = JSON.stringify(path);
    if (this.#text?.path !== key) this.#text = { path: key, name: textOf(await this.#document.cursor(path, 0)) };
    return this.#text.name;
  }

  async #locate({ id, value }: Peer<unknown>): Promise<RemoteCaret | undefined> {
    const { person, caret } = (value ?? {}) as CaretPresence;
    const path = this.#place.path;
    // Others may say anything.
    if (!path || typeof caret?.anchor !== "string" || typeof caret.head !== "string") return undefined;
    try {
      const text = await this.#name(path);
      if (text !== textOf(caret.head) || text !== textOf(caret.anchor)) return undefined;
      const [anchor, head] = await Promise.all([this.#document.position(caret.anchor), this.#document.position(caret.head)]);
      if (anchor === undefined || head === undefined) return undefined;
      return { id, ...looks(id, person), anchor, head };
    } catch {
      return undefined;
    }
  }
}

/** How somebody is shown; others may say anything of themselves. */
function looks(id: string, person: Person | undefined): { name: string; color: string } {
  const name = typeof person?.name === "string" ? person.name.slice(0, 40) : "";
  return { name, color: plainColor(person?.color, colorOf(name || id)) };
}

let canvas: CanvasRenderingContext2D | null | undefined;

/** A colour and nothing else, as a canvas takes it: what CSS allows in its place may stand for anything, an image elsewhere too. */
function plainColor(said: unknown, otherwise: string): string {
  canvas ??= document.createElement("canvas").getContext("2d");
  if (!canvas || typeof said !== "string") return otherwise;
  canvas.fillStyle = otherwise;
  canvas.fillStyle = said;
  return canvas.fillStyle as string;
}

/** Which text a cursor is in: what it names before its place. */
function textOf(cursor: string): string {
  return cursor.slice(0, cursor.lastIndexOf("/"));
}

function same(a: { anchor: number; head: number } | undefined, b: typeof a): boolean {
  return a?.anchor === b?.anchor && a?.head === b?.head;
}
