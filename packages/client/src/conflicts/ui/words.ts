/** How conflicts are said to people: who, when, where, what happened, and which answers fit. Makes no element. */

import type { Candidate, Conflict, ConflictKind } from "../types.js";

/** Who wrote or settled something, as the page knows them; `undefined` if it does not. */
export type People = (who: { actor?: string; author?: string; change: string; mine?: boolean }) => string | undefined;

/** What a place is called, if the page has a better name than its path. */
export type Places = (conflict: Conflict) => string | undefined;

/** Most characters of a text that are told in a sentence. */
const WORDS_MAX = 40;

const KINDS: Record<ConflictKind, string> = {
  register: "Two answers",
  "delete-update": "Removed and changed",
  "edit-in-deleted": "Written into something removed",
  container: "Made twice",
  "counter-overwrite": "Counted and overwritten",
  mark: "Two formats",
  rejected: "Refused by the server",
};

/** The kind in a few words. */
export function kindWords({ kind, mark, candidates }: Conflict): string {
  const words = mark?.name === "link" ? "Two links" : KINDS[kind];
  return candidates.length > 2 && (kind === "register" || kind === "mark") ? words.replace("Two", String(candidates.length)) : words;
}

export function placeWords(conflict: Conflict, places: Places | undefined): string {
  const named = places?.(conflict);
  if (named !== undefined) return named;
  // Of what is marked the words are told.
  const steps = (conflict.mark ? conflict.path.slice(0, -1) : conflict.path).map((step) => (typeof step === "number" ? `no. ${step + 1}` : step));
  return steps.join(" › ") || conflict.document;
}

export function nameOf(side: Candidate, people: People | undefined): string {
  return people?.(side) ?? side.author ?? (side.mine ? "This device" : `Device ${side.actor.slice(0, 4)}`);
}

/** What has happened, in one sentence. */
export function storyWords(conflict: Conflict, people: People | undefined): string {
  const names = (sides: readonly Candidate[]) => listed([...new Set(sides.map((side) => nameOf(side, people)))]);
  const { candidates } = conflict;
  const [removed, kept] = [candidates.filter(isRemoval), candidates.filter((side) => !isRemoval(side))];
  switch (conflict.kind) {
    case "delete-update":
      return `${names(removed)} removed this while ${names(kept)} changed it.`;
    case "edit-in-deleted":
      return `${names(kept)} wrote into this after it was removed.`;
    case "container":
      return `${names(candidates)} each made this. Only one of them shows.`;
    case "counter-overwrite":
      return `${names(candidates.slice(1))} counted while ${names(candidates.slice(0, 1))} set a new number.`;
    case "mark":
      return markWords(conflict, names(removed), names(kept));
    case "rejected":
      return `The server did not take this${conflict.reason ? `: ${conflict.reason}` : ""}. It is kept on this device.`;
    default:
      return `${names(candidates)} changed this without seeing each other.`;
  }
}

function markWords({ mark, candidates }: Conflict, removed: string, kept: string): string {
  const words = mark ? `“${mark.words.length > WORDS_MAX ? `${mark.words.slice(0, WORDS_MAX)}…` : mark.words}”` : "the same words";
  if (candidates.some(isRemoval)) return `${removed} took the ${mark?.name ?? "format"} away from ${words} while ${kept} changed it.`;
  return mark?.name === "link" ? `${kept} linked ${words} to different places.` : `${kept} formatted ${words} differently${mark ? `: ${mark.name}` : ""}.`;
}

/** What a mark is called where there is none; `undefined` of anything else. */
export function noneWords({ kind, mark }: Conflict): string | undefined {
  return kind === "mark" ? `No ${mark?.name ?? "format"}` : undefined;
}

/** Whether a side wanted nothing to be there. */
export function isRemoval(side: Candidate): boolean {
  return side.value === undefined;
}

function listed(names: readonly string[]): string {
  if (names.length === 0) return "Somebody";
  return names.length === 1 ? (names[0] as string) : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** A time for people: nearer ones by the clock alone. */
export function timeWords(at: number, now: number): string {
  const ago = now - at;
  if (ago >= 0 && ago < 60_000) return "just now";
  if (ago >= 0 && ago < 3_600_000) return `${Math.floor(ago / 60_000)} min ago`;
  const date = new Date(at);
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return date.toDateString() === new Date(now).toDateString() ? time : `${date.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" })}, ${time}`;
}

/** What keeps both sides would do here; `undefined` if there is no such answer. */
export function bothWords(conflict: Conflict): string | undefined {
  if (!conflict.keepsBoth) return undefined;
  if (conflict.kind === "container") return "Merge both";
  return conflict.kind === "counter-overwrite" ? "Add both" : "Keep both";
}

/** Of a conflict that says more than a list has room for. */
export const CUT_WORDS = "There is more to this than the list has room for.";

/** Conflicts that the list leaves out. */
export function moreWords(more: number): string {
  return `${more} more ${more === 1 ? "is" : "are"} not shown here. ${more === 1 ? "It follows" : "They follow"} when some of these are settled.`;
}

/** How many to look at, said by the badge. */
export function countWords(open: number): string {
  return open === 0 ? "No conflicts" : `${open} ${open === 1 ? "conflict" : "conflicts"}`;
}
