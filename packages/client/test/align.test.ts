/**
 * Where texts differ: what was edited in many places of a long text is found where it was, no character is cut in two, and the search is
 * bounded for any two texts, which is counted and not timed. Splices of such a text, in any order, do what they do one by one.
 */

import assert from "node:assert/strict";

import { align, between, PIECE, STEPS_MIN, STEPS_PER_UNIT, sumOf, type Units } from "#modules/align.js";
import { spliced } from "#modules/bindings/splice.js";
import { diff, type Hunk } from "#modules/diff.js";
import { edited, shownOf } from "#modules/mirror.js";
import { isWithin } from "#modules/values.js";
import type { Edit } from "#modules/wasm/rejoin.js";

import { type Random, random } from "./support/random.js";
import { test } from "./timed.js";

/** A long text, in units. */
const LENGTH = 100_000;

function letters(next: Random, alphabet: readonly string[], count: number): string {
  return Array.from({ length: count }, () => alphabet[next(alphabet.length)]).join("");
}

const LETTERS = [..."eeeeetttaaoinshrdlu 😀😁"];
const WORDS = Array.from({ length: 1_500 }, (_, n) => letters(random(n), [..."eeettaaoinshrdlucm"], 2 + (n % 9)));

/** Words, some of them far more often than others. */
function prose(length: number, seed: number): string {
  const next = random(seed);
  let text = "";
  while (text.length < length) text += `${WORDS[Math.floor((next(1_500) * next(1_500)) / 1_500)]} `;
  return text.slice(0, length);
}

/** A text after so many edits anywhere, which delete and insert up to so many units each; and how many units they touched. */
function scattered(text: string, next: Random, count: number, most: number): [now: string, touched: number] {
  const places = Array.from({ length: count }, () => next(text.length)).sort((a, b) => b - a);
  let [now, touched] = [text, 0];
  for (const at of places) {
    const gone = Math.min(next(most + 1), text.length - at);
    const come = letters(next, [..."abcdefgh"], next(most + 1));
    now = now.slice(0, at) + come + now.slice(at + gone);
    touched += gone + come.length;
  }
  return [now, touched];
}

/** Checks that hunks lead from one text to another, in order, with whole characters; gives how many units they touch. */
function checked(old: string, now: string, hunks: readonly Hunk[], said: string): number {
  let [led, at, touched] = ["", 0, 0];
  for (const { from, to, newFrom, newTo } of hunks) {
    assert.ok(from >= at, `${said}: hunks are in order`);
    assert.ok(to > from || newTo > newFrom, `${said}: each hunk says something`);
    for (const [text, place] of [[old, from], [old, to], [now, newFrom], [now, newTo]] as const) assert.ok(!isWithin(text, place), `${said}: characters are whole`);
    led += old.slice(at, from);
    assert.equal(led.length, newFrom, `${said}: what stays is as long in both`);
    led += now.slice(newFrom, newTo);
    touched += to - from + newTo - newFrom;
    at = to;
  }
  assert.ok(led + old.slice(at) === now, `${said}: leads from the one to the other`);
  return touched;
}

test("hunks lead from any text to any other, and cut no character in two", () => {
  for (let seed = 1; seed <= 3_000; seed += 1) {
    const next = random(seed);
    const alphabet = LETTERS.slice(-2 - next(LETTERS.length - 1));
    const old = letters(next, alphabet, next(seed % 50 === 0 ? 3_000 : 200));
    const characters = [...old];
    for (let n = next(40); n > 0; n -= 1) characters.splice(next(characters.length + 1), next(6), ...letters(next, alphabet, next(6)));
    const now = seed % 7 === 0 ? letters(next, alphabet, next(300)) : characters.join("");
    const hunks = between(old, now);
    checked(old, now, hunks, `seed ${seed}`);
    assert.ok(hunks.every(({ from }, index) => index === 0 || from > (hunks[index - 1] as Hunk).to), `seed ${seed}: hunks are apart`);
  }
});

test("what was edited in many places of a long text is found there, and little else is touched", () => {
  const cases: [name: string, old: string, now: string, touched: number, most: number][] = [];
  const text = prose(LENGTH, 1);
  for (const [count, most] of [[1, 5], [2, 5], [300, 5], [300, 40], [3_000, 5], [10_000, 3]] as const) {
    cases.push([`${count} edits of up to ${most}`, text, ...scattered(text, random(count), count, most), 1.5]);
  }
  const [few, touched] = scattered(text, random(3), 300, 5);
  cases.push(["300 edits around what is new", text, few.slice(0, 50_000) + prose(2_000, 9) + few.slice(50_000), touched + 2_000, 1.5]);
  cases.push(["300 edits around what is gone", text, few.slice(0, 50_000) + few.slice(53_000), touched + 3_000, 1.5]);
  cases.push(["100 sentences written anew", text, ...scattered(text, random(4), 100, 200), 1.5]);
  cases.push(["a paragraph that moved", text, text.slice(5_000, 60_000) + text.slice(0, 5_000) + text.slice(60_000), 10_000, 1.2]);
  const fox = "the quick brown fox ".repeat(LENGTH / 20);
  cases.push(["all 5,000 replaced in a text that repeats itself", fox, fox.replaceAll("quick", "slow"), 9 * 5_000, 1]);
  cases.push(["300 edits of up to 30 in a text that repeats itself", fox, ...scattered(fox, random(5), 300, 30), 1.5]);
  const lines = "foo bar\n".repeat(LENGTH / 8);
  cases.push(["a letter in each of 12,500 equal lines", lines, lines.replaceAll("r", "z"), 25_000, 1]);
  cases.push(["one emoji for another 300 times", `${"x".repeat(330)}😀`.repeat(300), `${"x".repeat(330)}😁`.repeat(300), 1_200, 1]);
  // Every few letters: more than it is worth to find.
  cases.push(["each e doubled", text, text.replaceAll("e", "ee"), text.split("e").length - 1, 10]);
  for (const [name, old, now, edits, most] of cases) {
    const found = checked(old, now, between(old, now), name);
    assert.ok(found <= most * edits, `${name}: touched ${found} units, of ${edits} that were edited`);
  }
});

test("what comes within a short text comes there, whatever else is edited", () => {
  for (let seed = 1; seed <= 500; seed += 1) {
    const [text, come] = [prose(80, seed), prose(20, seed + 1_000)];
    const [old, now] = [`1${text}2`, `3${text.slice(0, 40)}${come}${text.slice(40)}4`];
    assert.equal(checked(old, now, between(old, now), `seed ${seed}`), come.length + 4, `seed ${seed}`);
  }
});

function unitsOf(text: string): Uint16Array {
  return Uint16Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
}

/** Units that count how often they are read. */
function counted(text: string, reads: { count: number }): Units {
  const units = unitsOf(text);
  return new Proxy(units, {
    get(target, key) {
      if (key === "length") return target.length;
      reads.count += 1;
      return target[key as unknown as number];
    },
  });
}

test("the search costs so many steps a unit at most, whatever the texts are", () => {
  const length = 20_000;
  const next = random(11);
  const two = (alphabet: string) => [letters(next, [...alphabet], length), letters(next, [...alphabet], length)] as const;
  const cases: [name: string, old: string, now: string][] = [
    ["two of two letters", ...two("ab")],
    ["two of three letters", ...two("abc")],
    ["two of many letters", ...two("etaoinshrdlucmfw")],
    ["two of words", prose(length, 21), prose(length, 22)],
    ["nothing in common", "a".repeat(length), "b".repeat(length)],
    ["backwards", prose(length, 23), [...prose(length, 23)].reverse().join("")],
    ["one letter between other ends", `${letters(next, [..."abc"], 64)}${"x".repeat(length)}y`, `${letters(next, [..."de"], 64)}${"x".repeat(length)}z`],
    ["each e doubled", prose(length, 24), prose(length, 24).replaceAll("e", "ee")],
    ["many other stretches", prose(length, 25), scattered(prose(length, 25), next, 150, 150)[0]],
    ["pieces that repeat themselves", `${"a".repeat(15)}b`.repeat(length / 16), `${"a".repeat(15)}c`.repeat(length / 16)],
  ];
  for (const [name, old, now] of cases) {
    const reads = { count: 0 };
    checked(old, now, align(counted(old, reads), counted(now, reads)), name);
    const units = old.length + now.length;
    // Two units a step; and the ends of each gap, the sums of pieces, and pieces that are compared.
    const most = 2 * (STEPS_MIN + STEPS_PER_UNIT * units) + 8 * units;
    assert.ok(reads.count <= most, `${name}: ${reads.count} reads of at most ${most}`);
  }
});

test("texts with nothing in common are given up early", () => {
  const reads = { count: 0 };
  const [old, now] = [prose(LENGTH, 31), prose(LENGTH, 31).toUpperCase()];
  align(counted(old, reads), counted(now, reads));
  assert.ok(reads.count <= 3 * (old.length + now.length), `${reads.count} reads`);
});

test("pieces hold texts together by what they are, and not by their sums", () => {
  const next = random(41);
  const known = new Map<number, string>();
  for (let tried = 0; ; tried += 1) {
    assert.ok(tried < 1_000_000, "two pieces have the same sum");
    const piece = letters(next, [..."efghijklmnopqrstuvw"], PIECE);
    const sum = sumOf(unitsOf(piece), 0);
    const other = known.get(sum) ?? piece;
    known.set(sum, piece);
    if (other === piece) continue;
    const [old, now] = ["a".repeat(20 * PIECE) + piece + "c".repeat(20 * PIECE), "b".repeat(20 * PIECE) + other + "d".repeat(20 * PIECE)];
    checked(old, now, between(old, now), "two pieces with one sum");
    return;
  }
});

test("texts with nothing in common are one patch, and not thousands", () => {
  for (const [old, now] of [[prose(LENGTH, 31), prose(LENGTH, 32)], [prose(2_000, 33), prose(3_000, 34).toUpperCase()]] as const) {
    const value = (body: string) => shownOf({ map: [["body", { text: body }]] });
    const patches = diff(value(old), value(now)).length;
    assert.ok(patches <= 25, `${patches} patches`);
  }
});

test("many splices of one text, in any order and some of no place, do what they do one by one", () => {
  for (let seed = 1; seed <= 500; seed += 1) {
    const next = random(seed);
    const texts: Record<string, string> = { a: letters(next, LETTERS, next(60)), b: letters(next, LETTERS, next(60)) };
    const start = shownOf({ map: Object.entries(texts).map(([key, text]) => [key, { text }]) });
    const [edits, inB] = [[] as Edit[], [] as { index: number; deleted: number; inserted: string }[]];
    const [before, startB] = [{ ...texts }, texts.b as string];
    let at = 0;
    for (let n = next(30); n > 0; n -= 1) {
      const key = next(4) === 0 ? "a" : "b";
      at = next(5) === 0 ? next(70) : at + next(6);
      const one = { index: at, deleted: next(4), inserted: letters(next, LETTERS, next(3)) };
      edits.push(["text", [key], one.index, one.deleted, one.inserted]);
      if (next(9) === 0) edits.push(["put", [], "n", n]);
      const text = texts[key] as string;
      if (one.index + one.deleted > text.length) continue;
      texts[key] = text.slice(0, one.index) + one.inserted + text.slice(one.index + one.deleted);
      if (key === "b") inB.push(one);
    }
    const { n: _, ...now } = edited(start, edits).value as Record<string, unknown>;
    assert.deepEqual(now, texts, `seed ${seed}`);
    assert.deepEqual(start.value, before, "the value before is as it was");
    assert.equal(spliced(startB, inB), texts.b, `seed ${seed}`);
  }
});
