/** What an editor writes, cut into what one change may be: chance tries many. */

import assert from "node:assert/strict";

import { pieces, type Splice, spliced } from "#modules/bindings/splice.js";

import { random } from "./support/random.js";
import { test } from "./timed.js";

test("splices that are too large are cut into changes that do the same, and no character is cut", () => {
  const next = random(1);
  const made = (count: number) => Array.from({ length: next(count) }, () => ["a", "bc", "😀"][next(3)]).join("");
  /** A place between characters. */
  const place = (text: string) => Array.from(text).slice(0, next(text.length + 1)).join("").length;
  for (let turn = 0; turn < 5_000; turn += 1) {
    const text = made(60);
    const max = 4 + next(30);
    const splices: Splice[] = [];
    let now = text;
    for (let count = 1 + next(4); count > 0; count -= 1) {
      const [a, b] = [place(now), place(now)];
      const one = { index: Math.min(a, b), deleted: Math.abs(a - b), inserted: made(40) };
      splices.push(one);
      now = spliced(now, [one]);
    }
    const lots = pieces(text, splices, max);
    let done = text;
    for (const lot of lots) {
      assert.ok(lot.reduce((sum, { deleted, inserted }) => sum + deleted + inserted.length, 0) <= max, `turn ${turn}`);
      for (const one of lot) {
        done = spliced(done, [one]);
        assert.ok(done.isWellFormed() && one.inserted.isWellFormed(), `turn ${turn}`);
      }
    }
    assert.equal(done, now, `turn ${turn}`);
    const whole = splices.reduce((sum, { deleted, inserted }) => sum + deleted + inserted.length, 0);
    assert.ok(lots.length <= 2 * Math.ceil(whole / (max / 2)) + 1, `turn ${turn}: ${lots.length} changes for ${whole} of ${max}`);
    if (whole <= max) assert.deepEqual(lots, [splices]);
  }
});
