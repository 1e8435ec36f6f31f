/** Patches: they lead from one value to the other, and say no more than has changed. */

import assert from "node:assert/strict";

import { diff, hunks, type Kinds, type Patch, type Shown } from "#modules/diff.js";
import { differences } from "#modules/mirror.js";
import { rebase } from "#modules/rebase.js";

import { random } from "./support/random.js";
import { test } from "./timed.js";

type Any = any; // eslint-disable-line @typescript-eslint/no-explicit-any

/** Keys that hold texts and counters, wherever they stand. */
const SPECIAL: Record<string, "text" | "counter"> = { body: "text", left: "counter" };

function shown(value: object): Shown {
  const kinds: Kinds = new WeakMap();
  const visit = (at: Any): void => {
    if (typeof at !== "object" || at === null || at instanceof Date || at instanceof Uint8Array) return;
    const special = Object.keys(at).filter((key) => SPECIAL[key]).map((key) => [key, SPECIAL[key]] as const);
    if (special.length > 0) kinds.set(at, new Map(special) as Any);
    Object.values(at).forEach(visit);
  };
  visit(value);
  return { value, kinds };
}

/** Does patches, as their user would. */
function patched(value: object, patches: readonly Patch[]): object {
  const root: Any = structuredClone(value);
  for (const patch of patches) {
    const whole = patch.kind === "splice";
    const path = whole ? patch.path : patch.path.slice(0, -1);
    const container: Any = path.reduce((at: Any, step) => at[step], root);
    const key: Any = patch.path.at(-1);
    if (patch.kind === "put") container[key] = structuredClone(patch.value);
    else if (patch.kind === "delete") delete container[key];
    else if (patch.kind === "splice") container.splice(patch.index, patch.deleted, ...structuredClone(patch.inserted));
    else if (patch.kind === "text") container[key] = container[key].slice(0, patch.index) + patch.inserted + container[key].slice(patch.index + patch.deleted);
  }
  return root;
}

function changed(value: Any, next: (below: number) => number): Any {
  if (typeof value === "number") return value + next(3);
  if (typeof value === "string") {
    const characters = [...value];
    for (let n = next(4); n > 0; n -= 1) characters.splice(next(characters.length + 1), next(3), ...["", "a", "bb", "😀"][next(4)]!);
    return characters.join("");
  }
  if (Array.isArray(value)) {
    const items = value.map((item) => (next(4) === 0 ? changed(item, next) : item));
    for (let n = next(3); n > 0; n -= 1) items.splice(next(items.length + 1), next(3), ...[[], [{ body: "new", left: 1 }], [7, [8]]][next(3)]!);
    return items;
  }
  if (typeof value !== "object" || value === null) return next(2) === 0 ? value : null;
  const entries = Object.entries(value).filter(() => next(8) > 0).map(([key, item]) => [key, next(3) === 0 ? changed(item, next) : item]);
  if (next(4) === 0) entries.push([`k${next(4)}`, next(2) === 0 ? "v" : { body: "x" }]);
  return Object.fromEntries(entries);
}

test("patches lead from any value to any other", () => {
  for (let seed = 1; seed <= 3_000; seed += 1) {
    const next = random(seed);
    const old = { notes: [{ body: "héllo 😀 world", left: 3, tags: ["a", "b", "a"] }, { body: "b", left: 0, tags: [] }, 5, "x"], body: "abcabcabba", at: null };
    const now = changed(changed(old, next), next) as object;
    assert.deepEqual(patched(old, diff(shown(old), shown(now))), now, `seed ${seed}`);
  }
});

test("an edit is one patch where it was made", () => {
  const old = { notes: [{ body: "milk", left: 1 }, { body: "bread", left: 2 }], title: "list" };
  const cases: [object, Patch[]][] = [
    [{ ...old }, []],
    [{ ...old, title: "List" }, [{ kind: "put", path: ["title"], value: "List" }]],
    [{ notes: old.notes }, [{ kind: "delete", path: ["title"] }]],
    [
      { ...old, notes: [old.notes[0], { body: "bread, two", left: 2 }] },
      [{ kind: "text", path: ["notes", 1, "body"], index: 5, deleted: 0, inserted: ", two" }],
    ],
    [
      { ...old, notes: [{ body: "oat milk", left: 1 }, ...old.notes.slice(1), { body: "tea", left: 0 }] },
      [
        { kind: "text", path: ["notes", 0, "body"], index: 0, deleted: 0, inserted: "oat " },
        { kind: "splice", path: ["notes"], index: 2, deleted: 0, inserted: [{ body: "tea", left: 0 }] },
      ],
    ],
  ];
  for (const [now, patches] of cases) assert.deepEqual(diff(shown(old), shown(now)), patches);
});

test("two edits far apart in a long text are two patches", () => {
  const old = { body: "x".repeat(20_000) };
  const now = { body: `a${old.body}b` };
  assert.deepEqual(
    diff(shown(old), shown(now)).map((patch) => patch.kind === "text" && [patch.index, patch.inserted]),
    [[0, "a"], [20_001, "b"]],
  );
});

/** Beyond two hundred of them every element was told as the one that had stood where it stands now, and an edit on its way got into another one. */
test("in a list in which much has changed what has stayed is found, and an edit that was made meanwhile stays where it was made", () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const next = random(seed);
    const old = Array.from({ length: 1_200 }, (_, n) => ({ body: `note ${n}`, left: n % 7, at: [new Date(n), 2n ** 60n, -0, n % 2 === 0 ? Uint8Array.of(n) : NaN][next(4)] }));
    const now = old.flatMap((note, n) => {
      // Notes that stay as they are: some stand between many that do not.
      if (n % 40 < 3) return [note];
      return [[note], [note], [{ ...note, left: note.left + 1 }], [{ ...note, at: 0 }], [{ body: "new", left: 0 }, note], []][next(6)] as object[];
    });
    const patches = diff(shown({ notes: old }), shown({ notes: now }));
    assert.deepEqual(patched({ notes: old }, patches), { notes: now }, `seed ${seed}`);
    const come = differences(shown({ notes: old }), shown({ notes: now }));
    let lost = 0;
    for (const [n, note] of old.entries()) {
      if (!now.includes(note)) continue;
      const [edit] = rebase([["put", ["notes", n], "left", 9]], come)[0];
      if (edit?.[0] !== "put" || now[edit[1][1] as number] !== note) lost += 1;
    }
    assert.ok(lost < 0.05 * old.length, `seed ${seed}: ${lost} edits are in another note`);
  }
});

test("what looks alike as JSON and is not is told in a list in which much has changed", () => {
  const looks = [0, -0, null, NaN, new Date(0), new Date(0).toJSON(), 7n, "7"];
  const [old, now] = [0, 1].map((side) => Array.from({ length: 600 }, (_, n) => (n % 3 === 0 ? looks[(n + side) % looks.length] : `${n % 5 === 0 ? side : ""}${n}`)));
  assert.deepEqual(patched({ old }, diff(shown({ old: old as object }), shown({ old: now as object }))), { old: now });
});

test("what has nothing in common counts as new, in bounded time", () => {
  assert.deepEqual(hunks(5_000, 6_000, () => false), [{ from: 0, to: 5_000, newFrom: 0, newTo: 6_000 }]);
});
