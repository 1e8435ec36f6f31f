/**
 * Rules that answer conflicts, declared by place.
 *
 * Owns how rules are described and where they hold. What a built-in one answers is in `builtin`.
 */

import { RejoinError } from "../errors.js";
import type { Path } from "../wasm/rejoin.js";

/** Most parts of a pattern, and characters of it. */
const PARTS_MAX = 100;
const PATTERN_LENGTH_MAX = 1_000;

/** A rule: its name, its version, and what it was told. */
export type Rule = {
  readonly rule: string;
  readonly version: number;
  readonly options: RuleOptions;
  /** Where a rule of the application's own is. */
  readonly module?: string;
};

export type RuleOptions = Readonly<Record<string, string | number | boolean | readonly (string | number | boolean)[]>>;

/** A rule and where it holds. */
export type Policy = Rule & { readonly pattern: string };

/**
 * Says which rule holds where. A pattern is a path: `stock/*\/quantity` has any one key or position for the star, `**\/title` any
 * number of them. Of several that match, the first counts; where none does, conflicts are for people (`human`).
 */
export function policy(pattern: string, rule: Rule): Policy {
  const bad = (what: string) => new RejoinError("bad-policy", `the policy for ${JSON.stringify(pattern)} can't match: ${what}`);
  const parts = pattern.split("/");
  if (parts.some((part) => part === "")) throw bad("a part of its path is empty");
  if (pattern.length > PATTERN_LENGTH_MAX || parts.length > PARTS_MAX) throw bad("it is longer than a path can be");
  if (parts[0]?.startsWith("$")) throw bad("what begins with $ is the engine's own");
  const odd = parts.find((part) => part.includes("*") && part !== "*" && part !== "**");
  if (odd !== undefined) throw bad(`${odd} stands for nothing: a star is a part by itself`);
  return { pattern, ...rule };
}

/** Whether a pattern holds at a path. */
export function holdsAt(pattern: string, path: Path): boolean {
  const parts = pattern.split("/");
  // How far the pattern is used up, in all ways at once: a pattern with many `**` must not take for ever.
  let reached = closed(parts, new Set([0]));
  for (const step of path) {
    const next = new Set<number>();
    for (const at of reached) {
      if (parts[at] === "**") next.add(at);
      else if (parts[at] === "*" || parts[at] === String(step)) next.add(at + 1);
    }
    reached = closed(parts, next);
  }
  return reached.has(parts.length);
}

/** With what is reached by taking `**` for nothing. */
function closed(parts: readonly string[], reached: Set<number>): Set<number> {
  for (const at of reached) {
    if (parts[at] === "**") reached.add(at + 1);
  }
  return reached;
}

/** The first policy that holds at a path. */
export function policyAt(policies: readonly Policy[], path: Path): Policy | undefined {
  return policies.find(({ pattern }) => holdsAt(pattern, path));
}

function builtIn(rule: string, options: RuleOptions = {}): Rule {
  return { rule, version: 1, options };
}

/** The value that was written last, by the times in the changes: authors' clocks, corrected by the server's where they are far off. */
export function latest(): Rule {
  return builtIn("latest");
}

/** The value that was written first, by the same times. */
export function first(): Rule {
  return builtIn("first");
}

/** The greatest number or string. */
export function max(): Rule {
  return builtIn("max");
}

/** The least number or string. */
export function min(): Rule {
  return builtIn("min");
}

/** Everything that is in any of the lists or maps, once. */
export function union(): Rule {
  return builtIn("union");
}

/** All texts, one behind the other. */
export function concat(options: { separator?: string } = {}): Rule {
  return builtIn("concat", options.separator === undefined ? {} : { separator: options.separator });
}

/** What was there before, and everybody's steps from it, each once: of 10, written as 7 here and 12 there, 9. */
export function sumDeltas(): Rule {
  return builtIn("sumDeltas");
}

/** The value that stands furthest back in this order. */
export function order(...values: [string, string, ...string[]]): Rule {
  return builtIn("order", { values });
}

/** The text that has everybody's edits, if they don't overlap. */
export function text3way(): Rule {
  return builtIn("text3way");
}

/** A map of all keys; a key in which several differ is left to people. */
export function mergeMaps(): Rule {
  return builtIn("mergeMaps");
}

/**
 * What an author wrote, as changes name their authors, or anybody of a role; of several the last, by the times in the changes. Who has a
 * role is said here, and declared in the document with the rule: a change says who made it, and not what they may do.
 */
export function prefer(whom: { author: string } | { role: string; authors: readonly [string, ...string[]] }): Rule {
  return builtIn("prefer", { ...whom });
}

/** Left to people. `show` is what stands there meanwhile: what was there `base`, what automerge picked, or what this device wrote. */
export function human(options: { show?: "base" | "winner" | "mine" } = {}): Rule {
  return builtIn("human", options.show === undefined ? {} : { show: options.show });
}

/** What was there before, whoever wrote anything. */
export function reject(): Rule {
  return builtIn("reject");
}

/**
 * A rule of the application's own. `module` is a script whose default export is called with `{ path, kind, base, candidates }` and gives
 * the value to show; `undefined`, which is also the value of a candidate that removed it, says that nothing is to be there. It runs in a worker,
 * and only for what is shown: nothing is written. It must give the same for the same candidates in any order, and at once; one that throws,
 * takes too long or answers differently twice is reported, and the conflict is for people.
 */
export function customRule(options: { name: string; version: number; module: string | URL }): Rule {
  const { name, version, module } = options;
  if (!/^[a-zA-Z][\w-]{0,63}$/.test(name)) throw new RejoinError("bad-policy", `${JSON.stringify(name)} is no name for a rule`);
  if (!Number.isSafeInteger(version) || version < 1) throw new RejoinError("bad-policy", "a rule's version is a whole number from 1 up");
  return { rule: name, version, options: {}, module: new URL(module, globalThis.location?.href).href };
}
