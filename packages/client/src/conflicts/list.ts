/**
 * The conflicts of an open document: listed, watched, answered, and reopened.
 *
 * Owns what the page holds of them, and what rules answer. What is a conflict, and how an answer is written, is decided by the engine, of
 * which this needs no more than `ConflictGround`.
 */

import { same } from "../diff.js";
import { RejoinError } from "../errors.js";
import { callAll, listen } from "../listeners.js";
import { encode } from "../values.js";
import type { NewValue } from "../wasm/rejoin.js";
import { decide } from "./builtin.js";
import { type Declaration, declarationOf, differs, parseDeclaration } from "./declared.js";
import { type Policy, policyAt } from "./policy.js";
import { project } from "./project.js";
import { type RuleFault, RuleRunner, type Spawn, type Verdict } from "./rules.js";
import { type Answer, type AnswerOptions, type Conflict, type ConflictFilter, matches } from "./types.js";

/** An answer as the engine takes it. */
export type EngineAnswer = { pick: string } | { value: NewValue } | { remove: true } | { keep: "both" };

/** What conflicts need of the engine. Wherever it runs, what goes to and fro is plain data. */
export type ConflictGround = {
  /** From now on the conflicts are told, to `heard`. */
  watch(): void;
  /** Writes an answer. Throws if the conflict is gone, or has another version. */
  resolve(id: string, version: number, answer: EngineAnswer, note: string | undefined): Promise<void>;
  reopen(id: string): Promise<void>;
  /** One conflict, with all that it says. */
  get(id: string): Promise<Conflict | undefined>;
  /** These rules are in force: the document is to declare them with the next edit, if it declares none, or an older version of them. */
  rules(text: string | undefined): void;
  /** Declares them at once. Whether anything was written. */
  declare(): Promise<boolean>;
};

/** Most sides, and most of each value, that an error tells. */
const SIDES_MAX = 5;
const VALUE_CHARS_MAX = 40;

export class Conflicts {
  readonly #ground: ConflictGround;
  readonly #spawn: Spawn | undefined;
  readonly #subscribers = new Set<(conflicts: readonly Conflict[]) => void>();
  readonly #runners = new Map<string, RuleRunner>();
  #policies: readonly Policy[] = [];
  /** The rules that the document declares. */
  #declaration: Declaration | undefined;
  #faults: RuleFault[] = [];
  /** What the document has; nothing until it was asked for. */
  #heard: readonly Conflict[] | undefined;
  #more = 0;
  /** The list before that, by id and version. */
  #before = new Map<string, Conflict>();
  #isWatched = false;
  #waiting: { resolve: (listed: readonly Conflict[]) => void; reject: (error: Error) => void }[] = [];
  /** Why nothing more will be told. */
  #failure: Error | undefined;
  #listed: readonly Conflict[] | undefined;
  #told: readonly Conflict[] = [];
  #toldMore = 0;
  #announced = false;

  /** @internal */
  constructor(ground: ConflictGround, spawn?: Spawn) {
    this.#ground = ground;
    this.#spawn = spawn;
  }

  /**
   * The conflicts that a filter asks for, or all of them: settled ones too, which are listed as long as the document has them. Nobody
   * looks for conflicts before somebody asks: the first call, or subscription, begins it, and until they are found there are none;
   * `listed` waits for that. A list has room for 10,000 conflicts and 4 MiB of values, open ones first: what is beyond is `cut`, or counted in `more`.
   */
  list(filter: ConflictFilter = {}): readonly Conflict[] {
    return this.#all().filter((conflict) => matches(conflict, filter));
  }

  /** How many conflicts the document has beyond those that are listed. */
  get more(): number {
    return this.#more;
  }

  /** One conflict with all that it says, also where the list has no room for that; `undefined` if the document has none of this id. */
  async get(id: string): Promise<Conflict | undefined> {
    await this.listed;
    const found = await this.#ground.get(id);
    return found && this.#ruled(found);
  }

  /** A value of the document with what rules answer in the places of their conflicts. The document itself is not changed. */
  project<T>(value: T): T {
    return project(value, this.#all());
  }

  /** All of them, once they are found. */
  get listed(): Promise<readonly Conflict[]> {
    this.#watch();
    if (this.#heard) return Promise.resolve(this.#all());
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** How many of those that are listed somebody has to look at. */
  get open(): number {
    return this.#all().filter(({ state }) => state === "open").length;
  }

  /** The rules in force, in the order in which they are looked at. */
  get policies(): readonly Policy[] {
    return this.#policies;
  }

  /** What went wrong with the application's own rules since they were set. */
  get faults(): readonly RuleFault[] {
    return this.#faults;
  }

  /** Calls `listener` now, and whenever the list, or `more`, is another. Gives what ends the subscription. */
  subscribe(listener: (conflicts: readonly Conflict[]) => void): () => void {
    if (this.#subscribers.size === 0) [this.#told, this.#toldMore] = [this.#all(), this.#more];
    return listen(this.#subscribers, listener, this.#all());
  }

  /**
   * Answers a conflict, in the document and so for everybody. Refused (`conflict-gone`, `conflict-changed`) if it is not what was looked
   * at any more.
   */
  async resolve(id: string, answer: Answer, options: AnswerOptions = {}): Promise<void> {
    const conflict = await this.#find(id);
    const version = options.version ?? conflict.version;
    if (version !== conflict.version) throw changed(this.#before.get(`${id} ${version}`), conflict);
    try {
      await this.#ground.resolve(id, version, engineAnswer(conflict, answer), options.note);
    } catch (error) {
      // It has changed before this list was told.
      const now = error instanceof RejoinError && error.code === "conflict-changed" ? await this.#ground.get(id) : undefined;
      throw now ? changed(conflict, now) : error;
    }
  }

  /** Takes an answer back: the conflict is open again. Refused (`not-settled`) if it is so already. */
  async reopen(id: string): Promise<void> {
    await this.#ground.reopen((await this.#find(id)).id);
  }

  /**
   * Puts other rules in force. They answer at once, on this device; nothing is written. With the next edit the document declares them, if it
   * declares none, or an older version of them. Where it declares another rule than is in force here, people decide (`policy-mismatch`).
   */
  setPolicies(policies: readonly Policy[]): void {
    for (const runner of this.#runners.values()) runner.stop();
    this.#runners.clear();
    this.#faults = [];
    this.#policies = [...policies];
    this.#ground.rules(declarationOf(this.#policies));
    this.#changed();
  }

  /** Declares the rules in force in the document, in place of those that it declares. Whether anything was written. */
  async declare(): Promise<boolean> {
    const text = declarationOf(this.#policies);
    if (text === undefined) return false;
    this.#declaration = parseDeclaration(text);
    this.#changed();
    return this.#ground.declare();
  }

  /** @internal The document's conflicts are these now. */
  heard(conflicts: readonly Conflict[], declared?: string, more = 0): void {
    this.#declaration = parseDeclaration(declared);
    // What somebody looks at may be what was listed a moment ago.
    this.#before = new Map((this.#heard ?? []).map((conflict) => [`${conflict.id} ${conflict.version}`, conflict]));
    this.#heard = conflicts;
    this.#more = more;
    this.#changed();
    for (const { resolve } of this.#waiting.splice(0)) resolve(this.#all());
  }

  /** @internal Nothing more will be told, and who waits for it is told why. */
  failed(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  /** @internal Nothing more will come. */
  ended(): void {
    this.#subscribers.clear();
    for (const runner of this.#runners.values()) runner.stop();
  }

  #watch(): void {
    if (this.#isWatched) return;
    this.#isWatched = true;
    this.#ground.watch();
  }

  #changed(): void {
    this.#listed = undefined;
    this.#announce();
  }

  #all(): readonly Conflict[] {
    this.#watch();
    this.#listed ??= Object.freeze((this.#heard ?? []).map((conflict) => this.#ruled(conflict)));
    return this.#listed;
  }

  async #find(id: string): Promise<Conflict> {
    const found = this.#all().find((conflict) => conflict.id === id) ?? (await this.get(id));
    if (!found) throw new RejoinError("conflict-gone", `the document has no conflict ${id}`);
    return found;
  }

  /** With the answer of a rule of the application's own, where one holds. */
  #ruled(conflict: Conflict): Conflict {
    if (conflict.state !== "open" || conflict.kind === "rejected") return conflict;
    const other = differs(this.#declaration, this.#policies, conflict.path);
    if (other) {
      const fault = `${other.own} is not the rule that the document declares, ${other.declared}`;
      return Object.freeze({ ...conflict, policy: "policy-mismatch", fault });
    }
    // What a rule answers is put in a value, which shows no format: people change that, by formatting again.
    const rule = conflict.kind === "mark" ? undefined : policyAt(this.#policies, conflict.path);
    if (!rule || rule.rule === "human") return Object.freeze(meanwhile(conflict, rule));
    // Without what the sides say no rule can be asked.
    if (conflict.cut) return Object.freeze({ ...conflict, fault: `${rule.rule}@${rule.version} can't be asked: the list has no room for what the sides say` });
    const named = { ...conflict, policy: `${rule.rule}@${rule.version}` };
    const verdict = rule.module === undefined ? builtIn(rule, conflict) : this.#runner(rule).verdict(conflict);
    if (!verdict) return Object.freeze(named);
    return Object.freeze("fault" in verdict ? { ...conflict, policy: "human@1", fault: `${named.policy} ${verdict.fault}` } : { ...named, state: "projected", answer: verdict.answer });
  }

  #runner(rule: Policy): RuleRunner {
    const key = `${rule.rule}@${rule.version} ${rule.module}`;
    const known = this.#runners.get(key);
    if (known) return known;
    const tell = (fault: RuleFault | undefined) => {
      // A verdict of a rule that is not in force any more.
      if (this.#runners.get(key) !== runner) return;
      if (fault) {
        this.#faults = [...this.#faults, fault];
        console.error(`rejoin: the rule ${fault.policy} ${fault.reason}; its conflicts are for people`);
      }
      this.#changed();
    };
    const runner = new RuleRunner(rule, tell, this.#spawn);
    this.#runners.set(key, runner);
    return runner;
  }

  #announce(): void {
    if (this.#announced || this.#subscribers.size === 0) return;
    this.#announced = true;
    queueMicrotask(() => {
      this.#announced = false;
      if (this.#subscribers.size === 0) return;
      const conflicts = this.#all();
      if (this.#more === this.#toldMore && same(conflicts, this.#told, new WeakMap(), new WeakMap())) return;
      [this.#told, this.#toldMore] = [conflicts, this.#more];
      callAll(this.#subscribers, conflicts);
    });
  }
}

function builtIn(rule: Policy, conflict: Conflict): Verdict {
  try {
    return { answer: decide(rule, conflict) };
  } catch (error) {
    return { fault: (error as Error).message };
  }
}

/** With what is to be shown until people have decided, where that is not what automerge picked. */
function meanwhile(conflict: Conflict, rule: Policy | undefined): Conflict {
  const show = conflict.cut ? undefined : rule?.options.show;
  if (show === "base") return { ...conflict, answer: conflict.base };
  const mine = show === "mine" ? conflict.candidates.find((side) => side.mine) : undefined;
  return mine ? { ...conflict, answer: mine.value } : conflict;
}

/** How the engine says it too. */
function changed(was: Conflict | undefined, now: Conflict): RejoinError {
  const before = was ? `it was between ${sides(was)}, and ` : "";
  const message = `the conflict at ${now.path.join("/")} has changed since it was looked at: ${before}it is between ${sides(now)} now`;
  const lacks = (one: Conflict | undefined, other: Conflict) => other.candidates.filter(({ change }) => one?.candidates.every((side) => side.change !== change));
  return new RejoinError("conflict-changed", message, { conflict: { now, was, came: lacks(was, now), went: was ? lacks(now, was) : [] } });
}

function sides(conflict: Conflict): string {
  const told = conflict.candidates.slice(0, SIDES_MAX).map(({ value }) => (JSON.stringify(value) ?? "nothing").slice(0, VALUE_CHARS_MAX));
  return told.join(" and ");
}

function engineAnswer(conflict: Conflict, answer: Answer): EngineAnswer {
  if ("keep" in answer) return { keep: "both" };
  if ("value" in answer) return answer.value === undefined ? { remove: true } : { value: encode(answer.value, "value") };
  const picked = conflict.candidates[answer.pick];
  if (!picked) throw new RejoinError("bad-value", `the conflict has no candidate ${answer.pick}`);
  return { pick: picked.change };
}
