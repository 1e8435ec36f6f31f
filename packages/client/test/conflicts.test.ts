/** Conflicts as the page holds them: filters, answers, places of rules, what rules answer, and rules that go wrong. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mock } from "node:test";

import { decide } from "#modules/conflicts/builtin.js";
import { checkRule } from "#modules/conflicts/check.js";
import { declarationOf, differs, isDue, parseDeclaration } from "#modules/conflicts/declared.js";
import { Conflicts } from "#modules/conflicts/list.js";
import {
  customRule, holdsAt, human, max, order, type Policy, policy, type Rule, type RuleOptions, sumDeltas,
} from "#modules/conflicts/policy.js";
import { project } from "#modules/conflicts/project.js";
import type { RuleInput, RuleReply, RuleRequest, RuleWorker } from "#modules/conflicts/rules.js";
import type { Conflict } from "#modules/conflicts/types.js";
import { RejoinError } from "#modules/errors.js";

import { candidate, conflict, Ground } from "./support/ground.js";
import { test } from "./timed.js";

type Case = { rule: string; options?: RuleOptions; base?: unknown; sides: unknown[]; steps?: Conflict["steps"]; answer?: unknown; fault?: string };

/** What the rules of both halves are held to. */
const TABLE = JSON.parse(readFileSync(new URL("../../../sync-core/tests/rules.json", import.meta.url), "utf8")) as {
  cases: Case[];
  patterns: [string, (string | number)[], boolean][];
  refused: [string, string][];
};

type Declared = {
  texts: { rules: Partial<Policy>[]; text?: string }[];
  places: { rules: Partial<Policy>[]; text: string; path: (string | number)[]; own?: string; declared?: string }[];
  due: [string, string, boolean][];
};

/** How both halves declare rules. */
const DECLARED = JSON.parse(readFileSync(new URL("../../../sync-core/tests/declared.json", import.meta.url), "utf8")) as Declared;

const RULE = customRule({ name: "closest", version: 2, module: "https://example.org/closest.js" });

function code(error: unknown): string {
  assert.ok(error instanceof RejoinError, String(error));
  return error.code;
}

/** A side as the table has it. */
function sideOf(said: unknown, index: number): Conflict["candidates"][number] {
  const own = typeof said === "object" && said !== null && Object.hasOwn(said, "at") ? (said as { at: number; change: string; author?: string; value?: unknown }) : undefined;
  if (!own) return candidate(`${"abcdef"[index]}0`, said, { at: 1_000 + index, author: `author ${index}` });
  const { at, change, author, value } = own;
  return candidate(`${change}0`, value, { at, ...(author !== undefined && { author }) });
}

/** A worker that answers with what `decide` gives, or not at all. */
function worker(replies: (request: RuleRequest) => RuleReply | undefined): { spawn: () => RuleWorker; log: string[] } {
  const log: string[] = [];
  const spawn = () => {
    const made: RuleWorker = {
      onmessage: null,
      onerror: null,
      postMessage(request) {
        log.push(request.kind);
        const reply = replies(request);
        if (reply) queueMicrotask(() => made.onmessage?.({ data: reply } as MessageEvent<RuleReply>));
      },
      terminate: () => void log.push("terminate"),
    };
    return made;
  };
  return { spawn, log };
}

/** The conflicts of a document, once they are found. */
async function held(ground: Ground, spawn?: () => RuleWorker): Promise<Conflicts> {
  const conflicts = new Conflicts(ground, spawn);
  ground.heard = (listed, declared, more) => conflicts.heard(listed, declared, more);
  await conflicts.listed;
  return conflicts;
}

/** Waits until the one conflict is as wanted. */
function reaches(conflicts: Conflicts, wanted: (conflict: Conflict) => boolean): Promise<Conflict> {
  return new Promise((resolve) => {
    const stop = conflicts.subscribe(([first]) => {
      if (!first || !wanted(first)) return;
      queueMicrotask(() => stop());
      resolve(first);
    });
  });
}

test("a pattern holds where each of its parts does", () => {
  for (const [pattern, path, holds] of TABLE.patterns) assert.equal(holdsAt(pattern, path), holds, `${pattern} at ${path.join("/")}`);
});

test("a policy that can't match anywhere is refused where it is made", () => {
  for (const [pattern, why] of [...TABLE.refused, [Array(101).fill("a").join("/"), undefined] as const]) {
    assert.throws(() => policy(pattern, max()), (error) => code(error) === "bad-policy" && (why === undefined || (error as Error).message === why), pattern);
  }
  assert.throws(() => customRule({ name: "a b", version: 1, module: "https://a.example/" }), (error) => code(error) === "bad-policy");
  assert.deepEqual(policy("orders/*/status", order("draft", "paid")), { pattern: "orders/*/status", rule: "order", version: 1, options: { values: ["draft", "paid"] } });
});

test("filters take what is at or below a path, of a kind, in a state, one's own", async () => {
  const theirs = [candidate("aa", 1), candidate("bb", 2)];
  const all = [conflict("1", ["stock", "a"]), conflict("2", ["stock", "b"], { candidates: theirs }), conflict("3", ["orders", 0], { kind: "delete-update", state: "settled" })];
  const conflicts = await held(new Ground(all));
  const ids = (filter: Parameters<Conflicts["list"]>[0]) => conflicts.list(filter).map(({ id }) => id).join("");
  assert.equal(ids({}), "123");
  assert.equal(ids({ path: ["stock"] }), "12");
  assert.equal(ids({ path: ["stock", "b"], mine: false }), "2");
  assert.equal(ids({ state: "open", mine: true }), "1");
  assert.equal(ids({ kind: "delete-update" }), "3");
  assert.equal(conflicts.open, 2);
});

test("an answer to sides that are not there any more says what was there and what is", async () => {
  const ground = new Ground([conflict("1", ["a"])]);
  const conflicts = await held(ground);
  ground.tell([conflict("1", ["a"], { version: 2, candidates: [candidate("aa", 7), candidate("bb", 13)] })]);
  await assert.rejects(conflicts.resolve("1", { pick: 0 }, { version: 1 }), (error) => {
    assert.match((error as Error).message, /it was between 7 and 12, and it is between 7 and 13 now/);
    const { was, now } = (error as RejoinError).conflict ?? {};
    assert.deepEqual([was?.version, now?.version], [1, 2]);
    return code(error) === "conflict-changed";
  });
  // The document may know of other sides before the list does: which came and which went is said all the same.
  ground.whole = [conflict("1", ["a"], { version: 3, candidates: [candidate("bb", 13), candidate("cc", 14)] })];
  ground.resolve = async () => {
    throw new RejoinError("conflict-changed", "it has other sides");
  };
  await assert.rejects(conflicts.resolve("1", { pick: 0 }), (error) => {
    assert.match((error as Error).message, /it was between 7 and 13, and it is between 13 and 14 now/);
    const { came, went, now } = (error as RejoinError).conflict ?? {};
    assert.deepEqual([came, went, now?.version].map((sides) => (Array.isArray(sides) ? sides.map(({ value }) => value) : sides)), [[14], [7], 3]);
    return code(error) === "conflict-changed";
  });
});

test("what the list has no room for is counted, looked at one by one, and settled all the same", async () => {
  const cut = conflict("cut", ["b"], { cut: true, base: undefined, candidates: [candidate("aa", undefined), candidate("bb", undefined)] });
  const ground = new Ground([conflict("1", ["a"]), cut]);
  ground.whole = [conflict("cut", ["b"]), conflict("far", ["c"])];
  ground.more = 1;
  const conflicts = await held(ground);
  assert.deepEqual([conflicts.list().length, conflicts.open, conflicts.more], [2, 2, 1]);
  // No rule is asked about sides of which it is not told what they say.
  conflicts.setPolicies([policy("**", max())]);
  const [asked, left] = conflicts.list();
  assert.deepEqual([asked?.state, asked?.answer, left?.state, "answer" in (left as Conflict)], ["projected", 12, "open", false]);
  assert.match(left?.fault ?? "", /max@1 can't be asked/);
  conflicts.setPolicies([policy("**", human({ show: "base" }))]);
  assert.deepEqual(conflicts.project({ a: 7, b: 7 }), { a: 10, b: 7 });
  conflicts.setPolicies([policy("**", max())]);
  const whole = await Promise.all(["cut", "far", "none"].map((id) => conflicts.get(id)));
  assert.deepEqual(whole.map((one) => [one?.state, one?.answer]), [["projected", 12], ["projected", 12], [undefined, undefined]]);
  for (const id of ["cut", "far"]) await conflicts.resolve(id, { pick: 1 });
  assert.deepEqual(ground.answers.map(([id, answer]) => [id, answer]), [["cut", { pick: "bb".repeat(32) }], ["far", { pick: "bb".repeat(32) }]]);
  await assert.rejects(conflicts.resolve("none", { pick: 1 }), (error) => code(error) === "conflict-gone");
  let told = 0;
  conflicts.subscribe(() => void (told += 1));
  ground.more = 5;
  ground.tell(ground.listed);
  await Promise.resolve();
  assert.deepEqual([told, conflicts.more], [2, 5]);
});

test("an answer names a candidate by its change, and is refused for what has changed or gone", async () => {
  const ground = new Ground([conflict("1", ["a"], { version: 3 })]);
  const conflicts = await held(ground);
  await assert.rejects(conflicts.resolve("1", { pick: 0 }, { version: 2 }), (error) => code(error) === "conflict-changed");
  await assert.rejects(conflicts.resolve("2", { pick: 0 }), (error) => code(error) === "conflict-gone");
  await assert.rejects(conflicts.resolve("1", { pick: 2 }), (error) => code(error) === "bad-value");
  assert.equal(ground.answers.length, 0);
  await conflicts.resolve("1", { pick: 1 }, { note: "counted again" });
  await conflicts.resolve("1", { value: { a: [1] } });
  await conflicts.resolve("1", { value: undefined });
  await conflicts.resolve("1", { keep: "both" });
  const list = { map: [["a", { list: [1] }]] };
  assert.deepEqual(ground.answers.map(([, answer]) => answer), [{ pick: "bb".repeat(32) }, { value: list }, { remove: true }, { keep: "both" }]);
  assert.equal(ground.answers[0]?.[2], "counted again");
  assert.equal(conflicts.list({ state: "settled" }).length, 1);
});

test("a subscriber is told once for each list that is another, and not for one that is the same", async () => {
  const ground = new Ground([conflict("1", ["a"])]);
  const conflicts = await held(ground);
  const told: string[] = [];
  const stop = conflicts.subscribe((list) => void told.push(list.map(({ state }) => state).join()));
  ground.tell([conflict("1", ["a"])]);
  await Promise.resolve();
  await conflicts.resolve("1", { pick: 0 });
  await Promise.resolve();
  await conflicts.reopen("1");
  await Promise.resolve();
  stop();
  await conflicts.resolve("1", { pick: 0 });
  await Promise.resolve();
  assert.deepEqual(told, ["open", "settled", "open"]);
});

test("projected answers stand in the value, which is itself not changed", () => {
  const value = Object.freeze({ stock: Object.freeze({ a: 1, b: Object.freeze([1, 2]) }), other: Object.freeze({}) });
  const answered = (path: Conflict["path"], answer: unknown, state: Conflict["state"] = "projected") => conflict("1", path, { state, answer });
  const projected = project(value, [answered(["stock", "b", 1], 5), answered(["stock", "c"], { x: 1 }), answered(["stock", "a"], 9, "settled"), answered(["gone", "d"], 1)]);
  assert.deepEqual(projected, { stock: { a: 1, b: [1, 5], c: { x: 1 } }, other: {} });
  assert.equal(projected.other, value.other);
  assert.deepEqual(project(value, [answered(["stock", "a"], undefined)]), { stock: { b: [1, 2] }, other: {} });
  assert.deepEqual(value, { stock: { a: 1, b: [1, 2] }, other: {} });
  const gone = [0, 1].map((at) => answered(["stock", "b", at], undefined));
  assert.deepEqual(project(value, [...gone, answered(["stock", "b", 1], 7)]).stock, { a: 1, b: [] });
  // An element that is not there any more is put back where it stood, or not at all: what stands there now stays.
  const absent = (at: number, answer: unknown): Conflict => ({ ...answered(["stock", "b", at], answer), gone: true });
  assert.deepEqual(project(value, [absent(0, 7), absent(1, undefined), absent(2, 8)]).stock, { a: 1, b: [7, 1, 2, 8] });
  assert.deepEqual(project(value, [...gone, absent(1, 7)]).stock, { a: 1, b: [7] });
});

test("built-in rules answer as sync-core's do, for candidates in any order, or leave the conflict to people", async () => {
  for (const { rule, options = {}, fault, ...rest } of TABLE.cases) {
    const candidates = rest.sides.map(sideOf);
    const ask = async (sides: Conflict["candidates"]) => {
      const common = rest.steps && { steps: rest.steps };
      const conflicts = await held(new Ground([conflict("1", ["a"], { base: rest.base, candidates: sides, ...common })]));
      conflicts.setPolicies([policy("a", { rule, options, version: 1 })]);
      const [asked] = conflicts.list();
      return asked?.fault ?? { [String(asked?.state)]: asked?.answer };
    };
    const wanted = fault === undefined ? { projected: rest.answer } : `${rule}@1 ${fault}`;
    for (const sides of [candidates, candidates.toReversed(), [...candidates.slice(1), ...candidates]]) {
      assert.deepEqual(await ask(sides), wanted, `${rule} of ${JSON.stringify(rest)}`);
    }
  }
});

test("every built-in rule is a function of the set of candidates, and one that is not is found out", () => {
  const input = ({ base, sides, steps }: Pick<Case, "base" | "sides" | "steps">): RuleInput => {
    return { path: ["a"], kind: "register", base, candidates: sides.map(sideOf), ...(steps && { steps }) };
  };
  const rules = new Set(TABLE.cases.map(({ rule }) => rule));
  assert.equal(rules.size, 12);
  for (const { rule, options = {}, fault, ...rest } of TABLE.cases) {
    if (fault === undefined) checkRule((asked) => decide({ rule, version: 1, options }, asked as unknown as Conflict), [input(rest)]);
  }
  const numbers = [input({ base: 1, sides: [7, 12, 9] })];
  const removal = ({ candidates }: RuleInput) => (candidates.some(({ value }) => value === undefined) ? undefined : Math.max(...candidates.map(({ value }) => value as number)));
  checkRule(removal, [input({ base: 1, sides: [7, undefined] })]);
  const bad: [(asked: RuleInput) => unknown, RegExp][] = [
    [({ candidates }) => candidates[0]?.value, /the order of the candidates matters/],
    [({ candidates }) => candidates.length, /a candidate that is given twice matters/],
    [({ candidates }) => candidates.filter(({ change }, at) => change !== candidates[at - 1]?.change).length, /how the candidates are grouped matters/],
    [({ candidates }) => 2 * Math.max(...candidates.map(({ value }) => value as number)), /does not keep to its own answer/],
    [() => assert.fail(), /answered nothing/],
  ];
  for (const [rule, why] of bad) assert.throws(() => checkRule(rule, numbers), why);
});

test("rules are declared by the text that sync-core has, and another one is told where it holds", () => {
  const policies = (rules: Partial<Policy>[]) => rules.map((rule) => ({ version: 1, options: {}, ...rule }) as Policy);
  for (const { rules, text } of DECLARED.texts) {
    assert.equal(declarationOf(policies(rules)), text);
    if (text !== undefined) assert.ok(parseDeclaration(text), text);
  }
  for (const { rules, text, path, own, declared } of DECLARED.places) {
    const told = differs(parseDeclaration(text), policies(rules), path);
    assert.deepEqual(told, own === undefined ? undefined : { own, declared }, JSON.stringify({ text, path }));
  }
  for (const [own, declared, due] of DECLARED.due) assert.equal(isDue(own, declared), due, JSON.stringify([own, declared]));
  assert.ok(isDue("1", undefined));
});

test("where the document declares another rule people decide, until the rules in force are declared", async () => {
  const ground = new Ground([conflict("1", ["stock", "a", "quantity"])]);
  ground.declared = declarationOf([policy("stock/*/quantity", max())]);
  const conflicts = await held(ground);
  assert.equal(conflicts.list()[0]?.policy, "policy-mismatch", "the document has a rule, and this device has none");
  conflicts.setPolicies([policy("stock/*/quantity", sumDeltas())]);
  const [other] = conflicts.list();
  assert.deepEqual([other?.policy, other?.state, conflicts.open], ["policy-mismatch", "open", 1]);
  assert.match(other?.fault ?? "", /sumDeltas@1 is not .* max@1/);
  assert.deepEqual(conflicts.project({ stock: { a: { quantity: 12 } } }), { stock: { a: { quantity: 12 } } });
  assert.equal(await conflicts.declare(), true);
  const [own] = conflicts.list();
  assert.deepEqual([own?.policy, own?.state, own?.answer], ["sumDeltas@1", "projected", 9]);
  conflicts.setPolicies([]);
  assert.equal(await conflicts.declare(), false);
});

test("until people decide, the value shows what was there before or what this device wrote, if it is told to", async () => {
  const conflicts = await held(new Ground([conflict("1", ["a"])]));
  const shown = (rule: Rule) => {
    conflicts.setPolicies([policy("a", rule)]);
    assert.equal(conflicts.open, 1);
    return conflicts.project({ a: 12 }).a;
  };
  assert.deepEqual([human(), human({ show: "winner" }), human({ show: "base" }), human({ show: "mine" })].map(shown), [12, 12, 10, 7]);
});

test("a rule of the application's own answers in its worker, anew whenever what it is asked is another", async () => {
  const { spawn, log } = worker((request) => (request.kind === "load" ? { kind: "loaded" } : { kind: "answers", answers: [11, 11] }));
  const ground = new Ground([conflict("1", ["stock", "apples", "quantity"])]);
  const conflicts = await held(ground, spawn);
  conflicts.setPolicies([policy("stock/*/quantity", RULE), policy("**", sumDeltas())]);
  const projected = await reaches(conflicts, ({ state }) => state === "projected");
  assert.deepEqual([projected.policy, projected.answer], ["closest@2", 11]);
  ground.tell(ground.listed);
  assert.equal(conflicts.list()[0]?.answer, 11);
  assert.deepEqual(log, ["load", "decide"]);
  // An edit in what shows is none of the hidden work that a version counts.
  const [shown, hidden] = ground.listed[0]!.candidates;
  ground.tell([conflict("1", ["stock", "apples", "quantity"], { candidates: [{ ...shown!, value: 13 }, hidden!] })]);
  assert.equal(conflicts.list()[0]?.state, "open");
  await reaches(conflicts, ({ state }) => state === "projected");
  ground.tell([conflict("1", ["stock", "apples", "quantity"], { version: 2, candidates: [{ ...shown!, value: 13 }, hidden!] })]);
  assert.equal(conflicts.list()[0]?.answer, 11);
  conflicts.setPolicies([]);
  assert.equal(conflicts.list()[0]?.state, "open");
  assert.deepEqual(log, ["load", "decide", "decide", "terminate"]);
});

test("a rule of the application's own may say that nothing is to be there", async () => {
  const { spawn } = worker((request) => (request.kind === "load" ? { kind: "loaded" } : { kind: "answers", answers: [undefined, undefined] }));
  const sides = [candidate("aa", undefined), candidate("bb", 12, { shown: true })];
  const conflicts = await held(new Ground([conflict("1", ["stock", "apples"], { kind: "delete-update", candidates: sides })]), spawn);
  conflicts.setPolicies([policy("stock/*", RULE)]);
  const projected = await reaches(conflicts, ({ state }) => state === "projected");
  assert.deepEqual([projected.policy, projected.answer, projected.fault], ["closest@2", undefined, undefined]);
  assert.deepEqual(conflicts.project({ stock: { apples: 12, pears: 1 } }), { stock: { pears: 1 } });
  assert.deepEqual([conflicts.open, conflicts.faults], [0, []]);
});

test("no rule answers two formats, which no value shows: people do", async () => {
  const conflicts = await held(new Ground([conflict("1", ["text"], { kind: "mark" }), conflict("2", ["a"])]));
  for (const rule of [max(), human({ show: "base" }), RULE]) {
    conflicts.setPolicies([policy("text", rule), policy("a", max())]);
    const [mark, other] = conflicts.list();
    assert.deepEqual([mark?.state, mark?.policy, mark?.answer], ["open", "human@1", undefined]);
    assert.deepEqual([other?.state, conflicts.open], ["projected", 1]);
  }
});

test("a rule that throws, answers differently twice, or gives what can't be kept leaves that conflict to people and is reported", async () => {
  const replies: [RuleReply, RegExp][] = [
    [{ kind: "threw", reason: "no such key" }, /closest@2 threw: no such key/],
    [{ kind: "answers", answers: [1, 2] }, /closest@2 answered differently when it was asked twice/],
    [{ kind: "answers", answers: [[undefined], [undefined]] }, /closest@2 answered what a document can't hold/],
    [{ kind: "answers", answers: [undefined, null] }, /closest@2 answered differently when it was asked twice/],
  ];
  const said = mock.method(console, "error", () => {});
  for (const [reply, fault] of replies) {
    const { spawn } = worker((request) => (request.kind === "load" ? { kind: "loaded" } : reply));
    const conflicts = await held(new Ground([conflict("1", ["a"])]), spawn);
    conflicts.setPolicies([policy("a", RULE)]);
    const failed = await reaches(conflicts, (listed) => listed.fault !== undefined);
    assert.match(failed.fault as string, fault);
    assert.deepEqual([failed.state, failed.policy], ["open", "human@1"]);
    assert.deepEqual(conflicts.faults.map(({ policy, conflict }) => [policy, conflict]), [["closest@2", "1"]]);
    assert.match(String(said.mock.calls.at(-1)?.arguments[0]), fault);
  }
  said.mock.restore();
});

test("a rule that does not answer in time is stopped, and asked nothing more", async () => {
  const said = mock.method(console, "error", () => {});
  const { spawn, log } = worker((request) => (request.kind === "load" ? { kind: "loaded" } : undefined));
  const conflicts = await held(new Ground([conflict("1", ["a"]), conflict("2", ["b"])]), spawn);
  conflicts.setPolicies([policy("**", RULE)]);
  const failed = await reaches(conflicts, ({ fault }) => fault !== undefined);
  assert.match(failed.fault as string, /did not answer in time/);
  assert.match(conflicts.list()[1]?.fault as string, /did not answer in time/);
  assert.deepEqual(log, ["load", "decide", "terminate"]);
  said.mock.restore();
});
