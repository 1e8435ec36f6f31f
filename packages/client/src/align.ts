/**
 * Where two texts differ, though it be in many places far apart: a change that was scattered over a long text is found as it was made.
 *
 * Owns the search, and that it takes no more than so many steps for each unit, whatever the texts are. It is Myers' algorithm without the
 * ways that lag far behind. Where that goes astray, as it does past a long stretch that is new, pieces that stand once in each text hold
 * the rest together, and what lies between two of them is searched on its own. Words, and lists that differ in few places, have `hunks`.
 */

import type { Hunk } from "./diff.js";
import { isWithin } from "./values.js";

/** Units of a text by their place. */
export type Units = ArrayLike<number>;

/** A way that is so many units behind the furthest is given up, and of more diagonals than this those that are furthest behind. */
const LAG_MAX = 32;
const WIDTH_MAX = 128;
/** Each time so many units have gone or come it is looked how many have stayed between them. */
const STRETCH = 64;
/** A search is astray after so many stretches one after the other in which not so many times as much has stayed: in all of it, and between two pieces. */
const ASTRAY = { stretches: 2, stayed: 3 };
const ASTRAY_BETWEEN = { stretches: 32, stayed: 1 };
/** Less than this is not left to stand between two stretches that are new. */
const LEFT_MIN = 8;
/** How long a piece is that holds two texts together, in units. */
export const PIECE = 16;
/** The table of pieces looks at most in so many places for one. */
const PROBES_MAX = 8;
/** Most steps of the search, each a unit compared or a way looked at; what is left beyond them counts as new. */
export const STEPS_MIN = 50_000;
export const STEPS_PER_UNIT = 8;

/** Where two texts differ, in order. No character is cut in two. */
export function between(old: string, now: string): Hunk[] {
  const shorter = Math.min(old.length, now.length);
  let [head, tail] = [0, 0];
  while (head < shorter && old.charCodeAt(head) === now.charCodeAt(head)) head += 1;
  while (tail < shorter - head && old.charCodeAt(old.length - 1 - tail) === now.charCodeAt(now.length - 1 - tail)) tail += 1;
  const units = (text: string) => {
    const units = new Uint16Array(text.length - head - tail);
    for (let at = 0; at < units.length; at += 1) units[at] = text.charCodeAt(head + at);
    return units;
  };
  const found = align(units(old), units(now));
  return whole(found.map(({ from, to, newFrom, newTo }) => ({ from: from + head, to: to + head, newFrom: newFrom + head, newTo: newTo + head })), old, now);
}

/** Where units differ, in order. */
export function align(old: Units, now: Units): Hunk[] {
  return calmed(scattered(old, now));
}

/** The same, and of stretches that are mostly new what has stayed in them too. */
export function scattered(old: Units, now: Units): Hunk[] {
  const work = { left: STEPS_MIN + STEPS_PER_UNIT * (old.length + now.length) };
  const hunks: Hunk[] = [];
  const search = (gap: Hunk, astray: typeof ASTRAY) => new Search(old, now, gap).go(work, hunks, astray);
  const rest = search({ from: 0, to: old.length, newFrom: 0, newTo: now.length }, ASTRAY);
  if (rest) {
    let { from, newFrom } = rest;
    for (const [to, newTo] of [...held(old, now, rest), [rest.to, rest.newTo] as const]) {
      const lost = search({ from, to, newFrom, newTo }, ASTRAY_BETWEEN);
      if (lost) hunks.push(lost);
      [from, newFrom] = [to + PIECE, newTo + PIECE];
    }
  }
  return hunks;
}

/** Where pieces begin that stand once in each, in the same order in both, none over another. */
function held(old: Units, now: Units, gap: Hunk): [at: number, newAt: number][] {
  const places = new Pieces(old, gap.from, gap.to).find(now, gap.newFrom, gap.newTo);
  // The longest row of pieces whose places grow: `tails` ends the best row of each length.
  const tails: number[] = [];
  const previous = new Int32Array(places.length).fill(-1);
  for (let piece = 0; piece < places.length; piece += 1) {
    const place = places[piece] as number;
    if (place < 0) continue;
    let [low, high] = [0, tails.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((places[tails[middle] as number] as number) < place) low = middle + 1;
      else high = middle;
    }
    if (low > 0) previous[piece] = tails[low - 1] as number;
    tails[low] = piece;
  }
  const row: [number, number][] = [];
  let next = gap.newTo;
  for (let piece = tails.at(-1) ?? -1; piece >= 0; piece = previous[piece] as number) {
    const place = places[piece] as number;
    if (place + PIECE > next) continue;
    row.push([gap.from + piece * PIECE, place]);
    next = place;
  }
  return row.reverse();
}

const BASE = 0x01000193;
/** What the first unit of a piece counts in its sum. */
const LEAVING = Array.from({ length: PIECE - 1 }).reduce<number>((product) => Math.imul(product, BASE), 1);

/** The sum of the piece from a place on; it rolls on by one unit at a time. */
export function sumOf(units: Units, from: number): number {
  let sum = 0;
  for (let n = 0; n < PIECE; n += 1) sum = (Math.imul(sum, BASE) + (units[from + n] as number)) | 0;
  return sum;
}

/** A text cut in pieces, and where those of another one are among them. */
class Pieces {
  readonly #units: Units;
  readonly #from: number;
  readonly #sums: Int32Array;
  /** Of each piece by its sum: its number and one, negative if it stands there twice. */
  readonly #table: Int32Array;

  constructor(units: Units, from: number, to: number) {
    this.#units = units;
    this.#from = from;
    this.#sums = new Int32Array(Math.floor((to - from) / PIECE));
    this.#table = new Int32Array(1 << (34 - Math.clz32(this.#sums.length)));
    for (let piece = 0; piece < this.#sums.length; piece += 1) {
      const sum = sumOf(units, from + piece * PIECE);
      this.#sums[piece] = sum;
      const slot = this.#slot(sum);
      if (slot >= 0) this.#table[slot] = this.#table[slot] === 0 ? piece + 1 : -Math.abs(this.#table[slot] as number);
    }
  }

  /** Where each piece stands in a text, if it does once there and here; below zero if not. */
  find(text: Units, from: number, to: number): Int32Array {
    const places = new Int32Array(this.#sums.length).fill(-1);
    let sum = 0;
    for (let end = from; end < to; end += 1) {
      const place = end + 1 - PIECE;
      if (place > from) sum = (sum - Math.imul(LEAVING, text[place - 1] as number)) | 0;
      sum = (Math.imul(sum, BASE) + (text[end] as number)) | 0;
      const slot = place < from ? -1 : this.#slot(sum);
      const piece = slot < 0 ? -1 : (this.#table[slot] as number) - 1;
      if (piece < 0) continue;
      if (places[piece] !== -1) places[piece] = -2;
      else if (this.#isAt(piece, text, place)) places[piece] = place;
    }
    return places;
  }

  #isAt(piece: number, text: Units, place: number): boolean {
    for (let n = 0; n < PIECE; n += 1) if (this.#units[this.#from + piece * PIECE + n] !== text[place + n]) return false;
    return true;
  }

  /** Where a sum is in the table, or would be; -1 if it is too full there. */
  #slot(sum: number): number {
    const { length } = this.#table;
    const start = Math.imul(sum, 0x9e3779b1) >>> Math.clz32(length - 1);
    for (let probe = 0; probe < PROBES_MAX; probe += 1) {
      const slot = (start + probe) & (length - 1);
      const piece = this.#table[slot] as number;
      if (piece === 0 || this.#sums[Math.abs(piece) - 1] === sum) return slot;
    }
    return -1;
  }
}

/** Myers' algorithm: how far each diagonal is reached with 0, 1, 2 … units that go or come, until the end is. */
class Search {
  readonly #old: Units;
  readonly #now: Units;
  readonly #gap: Hunk;
  readonly #n: number;
  readonly #m: number;
  /** Where the diagonals from `#low` on, every other one, are reached with each number of units, from `#begin` on; -1 if they are not. */
  #cells = new Int32Array(0);
  readonly #begin: number[] = [0];
  readonly #low: number[] = [];

  constructor(old: Units, now: Units, { from, to, newFrom, newTo }: Hunk) {
    while (from < to && newFrom < newTo && old[from] === now[newFrom]) [from, newFrom] = [from + 1, newFrom + 1];
    while (from < to && newFrom < newTo && old[to - 1] === now[newTo - 1]) [to, newTo] = [to - 1, newTo - 1];
    [this.#old, this.#now, this.#gap] = [old, now, { from, to, newFrom, newTo }];
    [this.#n, this.#m] = [to - from, newTo - newFrom];
  }

  /** Adds what differs to `hunks`; gives what is left once the work is too much, or from where it is astray. */
  go(work: { left: number }, hunks: Hunk[], { stretches, stayed }: typeof ASTRAY): Hunk | undefined {
    const [n, m] = [this.#n, this.#m];
    if (n === 0 && m === 0) return undefined;
    if (n === 0 || m === 0 || work.left <= 0) {
      hunks.push(this.#gap);
      return undefined;
    }
    let [low, high, mark, bad] = [0, 0, 0, 0];
    for (let d = 0; ; d += 1) {
      const furthest = this.#reach(d, low, high, work);
      if (furthest === n + m || work.left <= 0) return this.#back(d, hunks);
      if (d > 0 && d % STRETCH === 0) {
        bad = furthest - mark < (1 + 2 * stayed) * STRETCH ? bad + 1 : 0;
        if (bad === stretches) return this.#back(d - bad * STRETCH, hunks);
        mark = furthest;
      }
      const behind = (k: number) => {
        const x = this.#reached(d, k);
        return x < 0 ? Infinity : furthest - 2 * x + k;
      };
      for (;;) {
        const [left, right] = [behind(low), behind(high)];
        if (high - low <= WIDTH_MAX && Math.max(left, right) <= LAG_MAX) break;
        if (left > right) low += 2;
        else high -= 2;
      }
      low += low === -m ? 1 : -1;
      high += high === n ? -1 : 1;
    }
  }

  /** How far the diagonals from one to another are reached with `d` units; gives the furthest, by units of both texts. */
  #reach(d: number, low: number, high: number, work: { left: number }): number {
    const [old, now, n, m, { from, newFrom }] = [this.#old, this.#now, this.#n, this.#m, this.#gap];
    const begin = this.#row(low, high);
    const cells = this.#cells;
    const first = d === 0 ? 0 : (this.#begin[d - 1] as number);
    // Where the row before has the diagonal before the first.
    let before = d === 0 ? 0 : first + (low - 1 - (this.#low[d - 1] as number)) / 2;
    let furthest = -1;
    let { left } = work;
    for (let k = low, cell = begin; k <= high; k += 2, cell += 1, before += 1) {
      const right = before < first || before >= begin ? -1 : (cells[before] as number);
      const down = before + 1 < first || before + 1 >= begin ? -1 : (cells[before + 1] as number);
      let x = d === 0 ? 0 : stepped(right, down, k, n, m);
      left -= 1;
      if (x >= 0) {
        for (; x < n && x - k < m && left > 0 && old[from + x] === now[newFrom + x - k]; x += 1) left -= 1;
        if (2 * x - k > furthest) furthest = 2 * x - k;
      }
      cells[cell] = x;
    }
    work.left = left;
    return furthest;
  }

  /** Makes room for the diagonals from one to another. */
  #row(low: number, high: number): number {
    const begin = this.#begin.at(-1) as number;
    const end = begin + (high - low) / 2 + 1;
    this.#low.push(low);
    this.#begin.push(end);
    if (end > this.#cells.length) {
      const cells = new Int32Array(2 * end + 64);
      cells.set(this.#cells);
      this.#cells = cells;
    }
    return begin;
  }

  #reached(d: number, k: number): number {
    const cell = (this.#begin[d] as number) + (k - (this.#low[d] as number)) / 2;
    return k < (this.#low[d] as number) || cell >= (this.#begin[d + 1] as number) ? -1 : (this.#cells[cell] as number);
  }

  /** Adds the way to where `last` units lead furthest; gives what is behind that. */
  #back(last: number, hunks: Hunk[]): Hunk | undefined {
    const { from, to, newFrom, newTo } = this.#gap;
    let [x, k] = [0, 0];
    for (let cell = this.#begin[last] as number, at = this.#low[last] as number; cell < (this.#begin[last + 1] as number); cell += 1, at += 2) {
      const reached = this.#cells[cell] as number;
      if (reached >= 0 && 2 * reached - at >= 2 * x - k) [x, k] = [reached, at];
    }
    const rest = { from: from + x, to, newFrom: newFrom + x - k, newTo };
    const found: Hunk[] = [];
    for (let d = last; d > 0; d -= 1) {
      const [right, down] = [this.#reached(d - 1, k - 1), this.#reached(d - 1, k + 1)];
      const end = stepped(right, down, k, this.#n, this.#m);
      const newEnd = end - k;
      [x, k] = end === down ? [down, k + 1] : [right, k - 1];
      const next = found.at(-1);
      if (next && next.from === from + end && next.newFrom === newFrom + newEnd) [next.from, next.newFrom] = [from + x, newFrom + x - k];
      else found.push({ from: from + x, to: from + end, newFrom: newFrom + x - k, newTo: newFrom + newEnd });
    }
    for (const one of found.reverse()) hunks.push(one);
    return rest.from === to && rest.newFrom === newTo ? undefined : rest;
  }
}

/** How far a diagonal is reached from those beside it, as a unit goes or comes; -1 if it is not. */
function stepped(right: number, down: number, k: number, n: number, m: number): number {
  const gone = right < 0 || right === n ? -1 : right + 1;
  return down >= gone && down - k <= m ? down : gone;
}

/** Texts that have little in common have the same letters here and there all the same: a stretch of which less has stayed counts as new from end to end. */
function calmed(hunks: readonly Hunk[]): Hunk[] {
  const calm: Hunk[] = [];
  let [wasNew, first, touched, kept] = [false, 0, 0, 0];
  const end = (behind: number) => {
    const [one, last, before] = [hunks[first], hunks[behind - 1], calm.at(-1)];
    if (!one || !last || behind === first) return;
    const isNew = touched >= STRETCH && kept < touched;
    if (!isNew) calm.push(...hunks.slice(first, behind));
    else if (wasNew && before && one.from - before.to < LEFT_MIN) [before.to, before.newTo] = [last.to, last.newTo];
    else calm.push({ ...one, to: last.to, newTo: last.newTo });
    [wasNew, first, touched, kept] = [isNew, behind, 0, 0];
  };
  for (const [index, { from, to, newFrom, newTo }] of hunks.entries()) {
    const size = to - from + newTo - newFrom;
    // A long one is a stretch by itself, whatever stands before it.
    if (size >= STRETCH) end(index);
    if (index > first) kept += from - (hunks[index - 1] as Hunk).to;
    touched += size;
    if (touched >= STRETCH) end(index + 1);
  }
  end(hunks.length);
  return calm;
}

/** No hunk begins or ends within a character: it takes in the other half. */
function whole(hunks: readonly Hunk[], old: string, now: string): Hunk[] {
  const cuts = (at: number, newAt: number) => (isWithin(old, at) || isWithin(now, newAt) ? 1 : 0);
  const found: Hunk[] = [];
  for (const { from, to, newFrom, newTo } of hunks) {
    const [before, behind] = [cuts(from, newFrom), cuts(to, newTo)];
    const one = { from: from - before, to: to + behind, newFrom: newFrom - before, newTo: newTo + behind };
    const last = found.at(-1);
    if (last && last.to >= one.from) [last.to, last.newTo] = [one.to, one.newTo];
    else found.push(one);
  }
  return found;
}
