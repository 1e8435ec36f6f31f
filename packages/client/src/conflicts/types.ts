/** What a conflict is, as a page sees it, and how it can be answered. Plain data: it survives `postMessage`. */

import type { Path } from "../wasm/rejoin.js";

/**
 * How somebody's work was hidden. `register`: several values were put in one place. `delete-update`: what one changed another removed.
 * `edit-in-deleted`: something was written within what was removed before. `container`: several made an object in one place, of which
 * one shows. `counter-overwrite`: steps of a counter that was put anew. `mark`: several marks of one name on the same characters.
 * `rejected`: the server will not have it.
 */
export type ConflictKind = "register" | "delete-update" | "edit-in-deleted" | "container" | "counter-overwrite" | "mark" | "rejected";

/**
 * `open`: somebody has to look. `projected`: a rule answers it, and nothing was written. `superseded`: somebody wrote there since,
 * without having been shown it. `settled`: a person or the server has answered it, in the document.
 */
export type ConflictState = "open" | "projected" | "superseded" | "settled";

/** One side of a conflict. */
export type Candidate = {
  /** What this side wanted there; `undefined` if it wanted nothing there. */
  readonly value: unknown;
  /** Who wrote it: one tab's author on one device. */
  readonly actor: string;
  /** Who that is, if the change says. */
  readonly author?: string;
  /** The author's clock when it was written, in milliseconds since 1970. */
  readonly at?: number;
  /** The change that wrote it, the last if several did. */
  readonly change: string;
  /** Whether this device wrote it. */
  readonly mine: boolean;
  /** Whether the document's value shows it. */
  readonly shown: boolean;
};

/** A number that was put somewhere, or null if it is none, and how often it counts in a sum. */
export type Counted = { readonly value: number | null; readonly times: number };

/** Work that is not in the document's value, though nobody who had seen it took it away. The same on every device. */
export type Conflict = {
  /** The same on every device, and for as long as the conflict is listed. */
  readonly id: string;
  /** Another once it has other sides; the greater, the more is hidden. */
  readonly version: number;
  /** The document's name. */
  readonly document: string;
  /** Where it stands, as the document is now. */
  readonly path: Path;
  /** It is about an element that is not in its list any more: `path` says where it stood, which may be another one's place by now. */
  readonly gone?: true;
  readonly kind: ConflictKind;
  /** Of marks their name and the characters in dispute, or the first of many; `path` ends with where those begin, in code points. */
  readonly mark?: { readonly name: string; readonly words: string };
  /** What stood there before the sides parted; `undefined` if nothing did. */
  readonly base?: unknown;
  /** The sides, first the one that hides the others. */
  readonly candidates: readonly Candidate[];
  /** Whether `{ keep: "both" }` can be answered. */
  readonly keepsBoth?: true;
  /**
   * Where candidates are numbers and some were made by the same steps: the numbers that add up to what all steps make, each step once, with how
   * often each counts; none if too much was put there to tell. Where it is not given, each counts from `base`.
   */
  readonly steps?: readonly Counted[];
  /** The rule for this place and its version, such as `max@1`; `policy-mismatch` where the document declares another one than is in force here, and people decide. */
  readonly policy: string;
  readonly state: ConflictState;
  /**
   * What a rule or a settlement answers, if `state` is `projected` or `settled`; of an open one what is to be shown until people have decided,
   * where that is not what the document's value shows. `undefined` if nothing is to stand there.
   */
  readonly answer?: unknown;
  /** Why the rule for this place gives no answer. */
  readonly fault?: string;
  readonly settledBy?: Settlement;
  /** Why the server will not have it, of a `rejected` one. */
  readonly reason?: string;
  /** The list has no room for what was said: neither `base` nor `answer` nor the candidates' values are told. `conflicts.get(id)` has them. */
  readonly cut?: true;
};

/** @internal Conflicts as a list tells them, and how many more there are. */
export type Told = { readonly conflicts: readonly Conflict[]; readonly more: number };

/** Who settled a conflict, and how. */
export type Settlement = {
  readonly change: string;
  readonly actor?: string;
  /** The author that the change names, if it names one. */
  readonly author?: string;
  /** The author's clock when it was settled, in milliseconds since 1970. */
  readonly at?: number;
  readonly policy: string;
  readonly note?: string;
};

/** Which conflicts to list: those for which all that is given is so. */
export type ConflictFilter = {
  /** Those that stand at or below this place. */
  path?: Path;
  kind?: ConflictKind;
  state?: ConflictState;
  /** Those in which this device has written one of the sides, or none of them. */
  mine?: boolean;
};

/** An answer to a conflict: one of its candidates by its position, a value, or what keeps all of them. */
export type Answer = { pick: number } | { value: unknown } | { keep: "both" };

/** What goes with an answer. */
export type AnswerOptions = {
  /** Why, for those who look at it later. */
  note?: string;
  /** The version that was looked at; if not given, the one listed now. An answer to another than the document's is refused. */
  version?: number;
};

/** Whether `path` stands at or below `above`. */
export function isWithin(path: Path, above: Path): boolean {
  return above.length <= path.length && above.every((step, index) => step === path[index]);
}

/** Whether a conflict is one that a filter asks for. */
export function matches(conflict: Conflict, filter: ConflictFilter): boolean {
  const { path, kind, state, mine } = filter;
  return (
    (path === undefined || isWithin(conflict.path, path)) &&
    (kind === undefined || conflict.kind === kind) &&
    (state === undefined || conflict.state === state) &&
    (mine === undefined || conflict.candidates.some((candidate) => candidate.mine) === mine)
  );
}
