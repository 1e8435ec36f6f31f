/**
 * The worker in which a rule of the application's own runs: loads its module, then answers one conflict after the other.
 *
 * Owns nothing but the call: how long it may take, and what becomes of the answer, is decided in `rules`.
 */

import type { RuleInput, RuleReply, RuleRequest } from "./rules.js";

type Scope = { onmessage: ((event: { data: RuleRequest }) => void) | null; postMessage(reply: RuleReply): void };

const scope = globalThis as unknown as Scope;
let decide: ((input: RuleInput) => unknown) | undefined;

scope.onmessage = ({ data }) => void answer(data);

async function answer(request: RuleRequest): Promise<void> {
  try {
    if (request.kind === "load") {
      const module = (await import(request.module)) as { default?: unknown };
      if (typeof module.default !== "function") throw new Error("its module has no function as default export");
      decide = module.default as (input: RuleInput) => unknown;
      return scope.postMessage({ kind: "loaded" });
    }
    // Asked twice, the second time with the candidates the other way round: a rule that has a memory or looks at the order shows it.
    const { input } = request;
    const turned = { ...structuredClone(input), candidates: structuredClone(input.candidates).toReversed() };
    const answers = [input, turned].map((each) => checked(decide?.(each)));
    scope.postMessage({ kind: "answers", answers });
  } catch (error) {
    scope.postMessage({ kind: "threw", reason: error instanceof Error ? error.message : String(error) });
  }
}

function checked(answer: unknown): unknown {
  if (answer instanceof Promise) throw new Error("it is async, but must answer at once");
  return answer;
}
