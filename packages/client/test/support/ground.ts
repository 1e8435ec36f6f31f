/** An engine's answers about conflicts, made by hand: for tests of what the page makes of them. */

import type { Conflicts, ConflictGround, EngineAnswer } from "#modules/conflicts/list.js";
import type { Candidate, Conflict } from "#modules/conflicts/types.js";

declare global {
  // eslint-disable-next-line no-var
  var ground: Ground;
  // eslint-disable-next-line no-var
  var conflicts: Conflicts;
}

export function candidate(actor: string, value: unknown, more: Partial<Candidate> = {}): Candidate {
  return { value, actor, change: actor.repeat(32), mine: false, shown: false, at: 1_700_000_000_000, ...more };
}

export function conflict(id: string, path: Conflict["path"], more: Partial<Conflict> = {}): Conflict {
  const candidates = [candidate("aa", 7, { mine: true }), candidate("bb", 12, { shown: true })];
  return { id, version: 1, document: "lab/stock", path, kind: "register", base: 10, candidates, policy: "human@1", state: "open", ...more };
}

/** Answers by changing its own list, as the engine does by changing the document. */
export class Ground implements ConflictGround {
  listed: Conflict[];
  answers: [string, EngineAnswer, string | undefined][] = [];
  /** The rules in force, and those that the document declares. */
  rule: string | undefined;
  declared: string | undefined;
  /** Whom to tell of another list. */
  heard: (conflicts: readonly Conflict[], declared?: string, more?: number) => void = () => {};

  constructor(listed: Conflict[]) {
    this.listed = listed;
  }

  /** What one says that the list has cut; and those that it leaves out. */
  whole: Conflict[] = [];
  more = 0;

  watch(): void {
    queueMicrotask(() => this.heard(this.listed, this.declared, this.more));
  }

  async get(id: string): Promise<Conflict | undefined> {
    return [...this.whole, ...this.listed].find((conflict) => conflict.id === id);
  }

  /** The document has other conflicts. */
  tell(listed: Conflict[]): void {
    this.listed = listed;
    this.heard(listed, this.declared, this.more);
  }

  rules(text: string | undefined): void {
    this.rule = text;
  }

  async declare(): Promise<boolean> {
    this.declared = this.rule;
    this.tell(this.listed);
    return true;
  }

  async resolve(id: string, _version: number, answer: EngineAnswer, note: string | undefined): Promise<void> {
    this.answers.push([id, answer, note]);
    const settledBy = { change: "cc".repeat(32), policy: "human@1", ...(note !== undefined && { note }) };
    const given = (of: Conflict) => ("pick" in answer ? of.candidates.find(({ change }) => change === answer.pick)?.value : "value" in answer ? answer.value : undefined);
    this.tell(this.listed.map((each) => (each.id === id ? { ...each, state: "settled", answer: given(each), settledBy } : each)));
  }

  async reopen(id: string): Promise<void> {
    this.tell(this.listed.map((each) => (each.id === id ? conflict(id, each.path, { kind: each.kind, candidates: each.candidates, ...(each.mark && { mark: each.mark }) }) : each)));
  }
}
