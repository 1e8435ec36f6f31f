/**
 * Undo and redo of one change that is scattered over a text, while others edit it: chance tries many, on a model of a text whose every
 * character has its own number. What stood between the pieces must be the very same characters after, and the pieces back.
 */

import assert from "node:assert/strict";

import type { Shown } from "#modules/diff.js";
import { shownOf, Writer } from "#modules/mirror.js";
import { Undo } from "#modules/undo.js";
import type { Edit, Path, Run } from "#modules/wasm/rejoin.js";

import { type Random, random } from "./support/random.js";
import { test } from "./timed.js";

type Character = { id: number; text: string; isGone: boolean };

const PATH: Path = ["body"];

/** A text as the engine keeps it: what is gone keeps its place. */
class Text {
  readonly all: Character[] = [];
  #next = 1;
  shown: Shown = shownOf({ map: [["body", { text: "" }]] });

  get there(): Character[] {
    return this.all.filter(({ isGone }) => !isGone);
  }

  get text(): string {
    return this.there.map(({ text }) => text).join("");
  }

  /** The text without what others have written. */
  without(others: ReadonlySet<Character>): string {
    return this.there
      .filter((character) => !others.has(character))
      .map(({ text }) => text)
      .join("");
  }

  /** Does edits as the engine counts; gives them as pages count. */
  write(edits: Edit[]): Edit[] {
    const writer = new Writer(this.shown);
    const done = edits.map((edit) => writer.fromEngine(edit) as Edit);
    this.shown = writer.done();
    for (const edit of edits) this.#splice(edit);
    assert.equal((this.shown.value as { body: string }).body, this.text);
    return done;
  }

  #splice(edit: Edit): void {
    assert.equal(edit[0], "text");
    const [, , index, count, insert] = edit as Extract<Edit, ["text", ...unknown[]]>;
    const { there } = this;
    for (const character of there.slice(index, index + count)) character.isGone = true;
    const at = index === 0 ? 0 : this.all.indexOf(there[index - 1] as Character) + 1;
    this.all.splice(at, 0, ...Array.from(insert, (text) => ({ id: this.#next++, text, isGone: false })));
  }

  undo(): Undo {
    const cursorOf = (at: number) => `text/${this.there[at]?.id}@a`;
    const found = (cursor: string) => this.all.findIndex(({ id }) => cursor === `text/${id}@a`);
    return new Undo({
      shown: () => this.shown,
      cursor: (_, index) => cursorOf(index),
      cursors: (_, index, count) => {
        const runs: [first: number, count: number][] = [];
        for (const { id } of this.there.slice(index, index + count)) {
          const last = runs.at(-1);
          if (last && last[0] + last[1] === id) last[1] += 1;
          else runs.push([id, 1]);
        }
        return runs.map(([id, count]) => [`text/${id}@a`, count] as Run);
      },
      exact: (_, cursor) => {
        const at = found(cursor);
        return this.all[at]?.isGone === false ? this.all.slice(0, at).filter(({ isGone }) => !isGone).length : undefined;
      },
      position: (cursor) =>
        this.all
          .slice(0, found(cursor))
          .filter(({ isGone }) => !isGone)
          .reduce((units, { text }) => units + text.length, 0),
      edit: (edits) => this.write(edits),
    });
  }
}

const WORDS = ["", "a", "ab", "b", "😀", "a😀b", "bbbbbbbb"] as const;

function splices(text: Text, next: Random, count: number, deletes: boolean): Edit[] {
  let { length } = text.there;
  return Array.from({ length: count }, () => {
    const at = next(length + 1);
    const gone = deletes ? Math.min(next(4), length - at) : 0;
    const insert = WORDS[next(WORDS.length)] as string;
    length += [...insert].length - gone;
    return ["text", PATH, at, gone, insert];
  });
}

/** A text that others wrote, a change of one's own in many places of it, and what others do then. */
function play(seed: number, deletes: boolean): void {
  const next = random(seed);
  const text = new Text();
  const undo = text.undo();
  text.write([["text", PATH, 0, 0, Array.from({ length: 40 + next(300) }, () => WORDS[1 + next(4)]).join("")]]);
  const before = new Set(text.there);
  const [shown, was] = [text.shown, text.text];
  undo.changed(shown, text.write(splices(text, next, 1 + next(60), true)), 0);
  if (!undo.canUndo) return;
  const [kept, changed, others] = [text.there.filter((character) => before.has(character)), text.text, new Set<Character>()];
  const meddle = () => {
    const held = new Set(text.all);
    text.write(splices(text, next, next(8), deletes));
    for (const character of text.all) if (!held.has(character)) others.add(character);
    undo.otherChanged();
  };
  const untouched = () => [...kept, ...others].filter(({ isGone }) => !isGone);
  for (const [back, want] of [[true, was], [false, changed], [true, was]] as const) {
    meddle();
    const stands = untouched();
    back ? undo.undo() : undo.redo();
    assert.deepEqual(untouched(), stands, `seed ${seed}: what stands between the pieces is not touched`);
    if (!deletes) assert.equal(text.without(others), want, `seed ${seed}`);
  }
}

test("a change scattered over a text goes and comes back piece by piece, and nothing between is touched", () => {
  for (let seed = 1; seed <= 400; seed += 1) {
    play(seed, false);
    play(seed, true);
  }
});
