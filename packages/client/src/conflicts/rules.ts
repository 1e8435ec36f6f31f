/**
 * Rules of the application's own: each in a worker by itself, with a deadline.
 *
 * Owns what becomes of an answer. A rule that throws, or answers differently when asked twice, leaves that conflict to people; one that
 * does not answer in time is stopped and leaves all of them. A conflict is asked about once for each of its versions.
 */

import { same } from "../diff.js";
import { encode } from "../values.js";
import type { Path } from "../wasm/rejoin.js";
import type { Rule } from "./policy.js";
import type { Candidate, Conflict, ConflictKind } from "./types.js";

/** How long a rule may take for one conflict, and its module to load. */
const ANSWER_MS_MAX = 250;
const LOAD_MS_MAX = 5_000;
/** Most conflicts whose answers are kept; beyond, what was asked first is asked again when it is next needed. */
const ANSWERS_MAX = 10_000;

/** What a rule is given. */
export type RuleInput = {
  readonly path: Path;
  readonly kind: ConflictKind;
  readonly base: unknown;
  readonly candidates: readonly Pick<Candidate, "value" | "actor" | "author" | "at" | "change">[];
  readonly steps?: Conflict["steps"];
};

/** @internal */
export type RuleRequest = { kind: "load"; module: string } | { kind: "decide"; input: RuleInput };
/** @internal */
export type RuleReply = { kind: "loaded" } | { kind: "answers"; answers: unknown[] } | { kind: "threw"; reason: string };

/** What a rule has made of a conflict. */
export type Verdict = { readonly answer: unknown } | { readonly fault: string };

/** A rule that went wrong. */
export type RuleFault = {
  /** The rule and its version. */ readonly policy: string;
  /** The conflict that it was asked about; `undefined` if the rule could not be loaded. */ readonly conflict: string | undefined;
  readonly reason: string;
};

/** What runs a module: a `Worker`, or in tests what stands in for it. */
export type RuleWorker = {
  onmessage: ((event: MessageEvent<RuleReply>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
  postMessage(request: RuleRequest): void;
  terminate(): void;
};

export type Spawn = () => RuleWorker;

/** Beside this file, with or without a bundler. */
const spawnWorker: Spawn = () => new Worker(new URL("./rule-worker.js", import.meta.url), { type: "module" }) as RuleWorker;

type Job = { id: string; input: RuleInput };

/** One rule at work. */
export class RuleRunner {
  readonly #rule: Rule;
  readonly #tell: (fault: RuleFault | undefined) => void;
  readonly #spawn: Spawn;
  readonly #verdicts = new Map<string, { input: RuleInput; verdict: Verdict }>();
  #queue: Job[] = [];
  #worker: RuleWorker | undefined;
  #loaded = false;
  #current: Job | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped: string | undefined;

  /** `tell` hears of each verdict, and of what went wrong. */
  constructor(rule: Rule, tell: (fault: RuleFault | undefined) => void, spawn: Spawn = spawnWorker) {
    this.#rule = rule;
    this.#tell = tell;
    this.#spawn = spawn;
  }

  /** What the rule says of a conflict; `undefined` until it has. */
  verdict(conflict: Conflict): Verdict | undefined {
    const { id } = conflict;
    const input = question(conflict);
    // The version says nothing of edits in what shows, nor the id of where it stands by now.
    const isAsked = (job: { input: RuleInput } | undefined) => job !== undefined && same(job.input, input, new WeakMap(), new WeakMap());
    const known = this.#verdicts.get(id);
    if (known && isAsked(known)) return known.verdict;
    if (this.#stopped !== undefined) return { fault: this.#stopped };
    const waiting = this.#queue.find((job) => job.id === id);
    if (waiting) waiting.input = input;
    else if (this.#current?.id !== id || !isAsked(this.#current)) {
      this.#queue.push({ id, input });
      this.#next();
    }
    return undefined;
  }

  /** Nothing more will be asked. */
  stop(): void {
    this.#stopped ??= "it is no longer in use";
    this.#queue = [];
    this.#end();
  }

  #next(): void {
    if (this.#current) return;
    if (!this.#worker) {
      if (this.#queue.length > 0) this.#start();
      return;
    }
    const job = this.#loaded ? this.#queue.shift() : undefined;
    if (!job) return;
    this.#current = job;
    this.#deadline(ANSWER_MS_MAX, "did not answer in time");
    this.#worker.postMessage({ kind: "decide", input: job.input });
  }

  #start(): void {
    try {
      this.#worker = this.#spawn();
    } catch (error) {
      return this.#fail(`can't be started: ${String(error)}`);
    }
    this.#worker.onmessage = ({ data }) => this.#heard(data);
    this.#worker.onerror = ({ message }) => this.#fail(`can't be loaded: ${message ?? "its worker failed"}`);
    this.#deadline(LOAD_MS_MAX, "was not loaded in time");
    this.#worker.postMessage({ kind: "load", module: this.#rule.module as string });
  }

  #heard(reply: RuleReply): void {
    clearTimeout(this.#timer);
    if (reply.kind === "loaded") this.#loaded = true;
    else if (!this.#current) return this.#fail(`can't be loaded: ${reply.kind === "threw" ? reply.reason : "it answers unasked"}`);
    else {
      const { id, input } = this.#current;
      this.#current = undefined;
      const verdict = judge(reply);
      this.#verdicts.delete(id);
      this.#verdicts.set(id, { input, verdict });
      const [oldest] = this.#verdicts.keys();
      if (this.#verdicts.size > ANSWERS_MAX && oldest !== undefined) this.#verdicts.delete(oldest);
      this.#tell("fault" in verdict ? this.#fault(verdict.fault, id) : undefined);
    }
    this.#next();
  }

  /** The rule is of no more use: all that it was asked is for people. */
  #fail(reason: string): void {
    const asked = this.#current?.id;
    this.#stopped = reason;
    this.#queue = [];
    this.#end();
    this.#tell(this.#fault(reason, asked));
  }

  #fault(reason: string, conflict: string | undefined): RuleFault {
    return { policy: `${this.#rule.rule}@${this.#rule.version}`, conflict, reason };
  }

  #deadline(ms: number, what: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fail(what), ms);
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#current = undefined;
    this.#loaded = false;
  }
}

/** What a rule is asked about a conflict. */
function question({ path, kind, base, candidates, steps }: Conflict): RuleInput {
  const sides = candidates.map(({ value, actor, author, at, change }) => ({
    value, actor, change, ...(author !== undefined && { author }), ...(at !== undefined && { at }),
  }));
  return { path, kind, base, candidates: sides, ...(steps && { steps }) };
}

function judge(reply: Exclude<RuleReply, { kind: "loaded" }>): Verdict {
  if (reply.kind === "threw") return { fault: `threw: ${reply.reason}` };
  const [answer, again] = reply.answers;
  if (!same(answer, again, new WeakMap(), new WeakMap())) return { fault: "answered differently when it was asked twice" };
  try {
    // Nothing: the removal stands.
    if (answer !== undefined) encode(answer, "its answer");
  } catch (error) {
    return { fault: `answered what a document can't hold: ${(error as Error).message}` };
  }
  return { answer };
}
