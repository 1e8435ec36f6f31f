/** A document's value as the engine shows it, and whether there is anything in it. Decides nothing of what a page is shown. */

import type { Kind, Kinds, Shown } from "./diff.js";
import { differences, nothing, withInit } from "./mirror.js";
import type { InitKey } from "./wire.js";

type Special = (container: object, key: string | number, kind: Kind) => void;

/** A value that the engine shows. */
export function shownBy(show: (special: Special) => unknown): Shown | undefined {
  const kinds: Kinds = new WeakMap();
  const value = show((container, key, kind) => {
    const known = kinds.get(container) ?? new Map<string | number, Kind>();
    kinds.set(container, known.set(key, kind));
  });
  return value === undefined ? undefined : { value: value as object, kinds };
}

/** Whether a value is as on a device that has written nothing: at most root keys that every device creates alike. */
export function isBare(shown: Shown, init: readonly InitKey[]): boolean {
  return differences(withInit(nothing(), init), withInit(shown, init)).length === 0;
}
