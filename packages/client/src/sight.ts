/**
 * What the server shows of a document before its history has come, told by the tab that has heard it to the others on the store.
 *
 * Owns the channel, and what was heard last of each document. Whether that is shown is the document's business.
 */

/** A view as the server sent it, and the position in the log that it is of. */
export type Sight = { view: Uint8Array; seq: number };

/** Tells what there is of a document, or asks for it. */
type Said = { name: string; sight: Sight | undefined };

export class Sights {
  readonly #channel: BroadcastChannel;
  readonly #heard = new Map<string, Sight>();

  /** `store` names what tabs share. `lacks` says whether a document is open here that has not come so far, `show` takes what another tab tells. */
  constructor(store: string, lacks: (name: string, seq: number) => boolean, show: (name: string, sight: Sight) => void) {
    this.#channel = new BroadcastChannel(`${store}#sight`);
    this.#channel.onmessage = ({ data: { name, sight } }: MessageEvent<Said>) => {
      if (sight) {
        this.#heard.set(name, sight);
        return show(name, sight);
      }
      const heard = this.#heard.get(name);
      if (heard && lacks(name, heard.seq)) this.#say(name, heard);
    };
  }

  /** Asks the other tabs. */
  ask(name: string): void {
    this.#say(name);
  }

  /** Tells the other tabs what the server has told this one. */
  tell(name: string, sight: Sight): void {
    this.#heard.set(name, sight);
    this.#say(name, sight);
  }

  close(): void {
    this.#channel.close();
  }

  #say(name: string, sight?: Sight): void {
    this.#channel.postMessage({ name, sight } satisfies Said);
  }
}
