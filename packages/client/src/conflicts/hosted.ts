/**
 * The conflicts and rules of one document where the engine is: what the page is told of them, and what it says.
 *
 * Owns what the page knows. What a conflict is, and what an answer makes of it, is the engine's business.
 */

import type { Driver } from "../driver.js";
import { same } from "../diff.js";
import type { Answer } from "../wire.js";
import { isDue } from "./declared.js";
import type { EngineAnswer } from "./list.js";
import type { Conflict, Told } from "./types.js";

/** `engine` throws where there is none yet; `written` is called when something was written that is not the page's typing. */
type Context = { document: number; engine: () => { driver: Driver; id: number }; post: (answer: Answer) => void; written: () => void; announce: () => void };

export class HostedConflicts {
  readonly #context: Context;
  /** What the page knows, if it wants to know. */
  #known: Told | undefined;
  #isTold = false;
  /** The rules that the document declares, as the page knows. */
  #declared: string | undefined;
  /** The rules that the page has in force; they are declared with its next edit, if they are due. */
  rules: string | undefined;

  constructor(context: Context) {
    this.#context = context;
  }

  /** From now on the page is told of conflicts. */
  watch(): void {
    this.#known ??= { conflicts: [], more: 0 };
    this.#context.announce();
  }

  /** Tells the page what is another than it knows. */
  tell(): void {
    if (!this.#known) return;
    const { document, engine, post } = this.#context;
    const { driver, id } = engine();
    const told = driver.peek((replica) => replica.conflicts(id));
    const declared = driver.peek((replica) => replica.declared(id));
    if (this.#isTold && declared === this.#declared && same(told, this.#known, new WeakMap(), new WeakMap())) return;
    [this.#known, this.#declared, this.#isTold] = [told, declared, true];
    post({ kind: "conflicts", document, ...told, declared });
  }

  resolve(conflict: string, version: number, answer: EngineAnswer, note: string | undefined): void {
    const { driver, id } = this.#context.engine();
    driver.turn((engine, now) => engine.resolveConflict(now, Date.now(), id, conflict, version, answer, note));
    this.#context.written();
  }

  reopen(conflict: string): void {
    const { driver, id } = this.#context.engine();
    driver.turn((engine, now) => engine.reopenConflict(now, Date.now(), id, conflict));
    this.#context.written();
  }

  get(conflict: string): Conflict | undefined {
    const { driver, id } = this.#context.engine();
    return driver.peek((engine) => engine.conflicts(id, conflict).conflicts[0]);
  }

  /** Declares the page's rules: whatever is declared, or after an edit, if they are due. */
  declare(onlyDue = false): boolean {
    const { rules } = this;
    if (rules === undefined) return false;
    const { driver, id } = this.#context.engine();
    if (onlyDue && !isDue(rules, driver.peek((engine) => engine.declared(id)))) return false;
    const isWritten = driver.turn((engine, now) => engine.declare(now, Date.now(), id, rules));
    this.#context.announce();
    return isWritten;
  }
}
