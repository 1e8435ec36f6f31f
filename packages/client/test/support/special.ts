/** A value as the engine gives it, for models of the engine. */

import type { Shown } from "#modules/diff.js";
import { crossing, shownOf } from "#modules/mirror.js";
import type { Special } from "#modules/wasm/rejoin.js";

/** Gives a copy of a value, and tells beside it what of it is special. */
export function toldBeside(shown: Shown, special: Special): object {
  const copy = shownOf(crossing(shown.value, undefined, shown.kinds));
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, kind] of copy.kinds.get(value) ?? []) special(value, key, kind);
    Object.values(value).forEach(visit);
  };
  visit(copy.value);
  return copy.value;
}
