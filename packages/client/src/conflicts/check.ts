/**
 * Whether a rule is one: a property test for rules of an application's own, in step with `check_resolver` in `sync-core/src/resolver/check.rs`.
 *
 * Owns what is demanded: the order of the candidates, candidates given twice and batches that overlap don't matter, and what a rule answers it
 * leaves alone. Owns no rule.
 */

import { same } from "../diff.js";
import type { RuleInput } from "./rules.js";

type Given = { readonly answer: unknown } | undefined;

/**
 * Asks a rule about conflicts made up by hand, in all the ways in which it may be asked. `decide` is what a rule's module exports. Throws if
 * the answers show that it is no function of the set of candidates, or if there are none: it is to be asked about values that suit it.
 */
export function checkRule(decide: (input: RuleInput) => unknown, inputs: readonly RuleInput[]): void {
  const answered = inputs.filter((input) => isAnswered(decide, input));
  if (answered.length === 0) throw new Error("the rule answered nothing");
}

function isAnswered(decide: (input: RuleInput) => unknown, input: RuleInput): boolean {
  const ask = (candidates: RuleInput["candidates"]): Given => {
    try {
      return { answer: decide(structuredClone({ ...input, candidates })) };
    } catch {
      return undefined;
    }
  };
  const alike = (a: Given, b: Given) => same(a, b, new WeakMap(), new WeakMap());
  const { candidates } = input;
  const given = ask(candidates);
  const demand = (asked: RuleInput["candidates"][], what: string) => {
    if (asked.some((each) => !alike(ask(each), given))) throw new Error(`${what}: ${JSON.stringify(input)}`);
  };
  const turned = candidates.map((_, at) => [...candidates.slice(at), ...candidates.slice(0, at)]);
  demand([...turned, candidates.toReversed()], "the order of the candidates matters");
  demand(candidates.map((_, at) => [...candidates.slice(0, at + 1), ...candidates.slice(at)]), "a candidate that is given twice matters");
  demand(turned.map((batch, at) => [...batch, ...candidates.slice(at)]), "how the candidates are grouped matters");
  if (!given) return false;
  // Written by any one of those who wrote a side.
  const again = candidates.map((side) => ask([{ ...side, value: given.answer }])).filter((each) => each !== undefined);
  if (again.length === 0 || again.some((each) => !alike(each, given))) throw new Error(`the rule does not keep to its own answer: ${JSON.stringify(input)}`);
  return true;
}
