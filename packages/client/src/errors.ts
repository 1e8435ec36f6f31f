/** What can go wrong, with a stable `code` to tell it by. */

import type { Candidate, Conflict } from "./conflicts/types.js";

/** Stable words for what went wrong. */
export type ErrorCode =
  /** The address is none that a browser can connect to. */
  | "bad-url"
  /** The document's name is empty, too long, or has an empty part. */
  | "bad-name"
  /** The author has no name, or one that is too long. */
  | "bad-author"
  /** A value, place or number that a document can't hold, or a draft used in a way that has no meaning. */
  | "bad-value"
  /** A draft, or an object of one, was used after its `change` had ended. */
  | "draft-ended"
  /** The document is not loaded. */
  | "not-ready"
  /** The outbox holds as many changes as it may: nothing was changed. */
  | "outbox-full"
  /** The change breaks a rule that every replica depends on: nothing was changed. */
  | "refused"
  /** What was edited was removed elsewhere before the edit had come to the document, which does not hold it, or not all of it. */
  | "place-gone"
  /** The root key `$settled` is the engine's own: nothing was changed. */
  | "reserved-key"
  /** The copy in memory was damaged and is being loaded again from this device. */
  | "reloading"
  /** A policy that can't match anywhere, or a rule that is described wrongly. */
  | "bad-policy"
  /** The document has no such conflict, or not any more. */
  | "conflict-gone"
  /** The conflict is not what was looked at: it has other candidates by now. `conflict` of the error says which came and which went. */
  | "conflict-changed"
  /** The conflict is open already, or nobody has answered it: there is no answer to take back. */
  | "not-settled"
  /** As many tabs as can have this store open. */
  | "store-in-use"
  /** The store is of a newer version of the application: reload the page. */
  | "store-newer"
  /** Storage on this device fails. */
  | "store-failed"
  /** Storage on this device is full. */
  | "store-full"
  /** The client or the document was closed. */
  | "closed"
  /** The engine stopped by a defect. What was saved on this device is safe; reload the page. */
  | "engine-failed";

/** How a conflict has changed since it was looked at. */
export type ConflictChange = {
  /** The conflict as it is now. */
  readonly now: Conflict;
  /** As it was looked at; `undefined` if that is not known any more. */
  readonly was: Conflict | undefined;
  /** Candidates that were not there. */
  readonly came: readonly Candidate[];
  /** Candidates that are not there any more. */
  readonly went: readonly Candidate[];
};

/** An error of this package. */
export class RejoinError extends Error {
  /** What kind of error it is. */
  readonly code: ErrorCode;
  /** Of `conflict-changed`: what has changed. */
  readonly conflict?: ConflictChange;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions & { conflict?: ConflictChange }) {
    super(message, options);
    this.name = "RejoinError";
    this.code = code;
    if (options?.conflict) this.conflict = options.conflict;
  }

  /** An error of the engine, whose `code` it carries; anything else as it is. */
  static from(error: unknown): unknown {
    const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
    if (error instanceof RejoinError || typeof code !== "string") return error;
    return new RejoinError(code as ErrorCode, (error as Error).message, { cause: error });
  }
}

/** What the engine says of its store. */
export function storeFailed({ code, reason }: { code: string; reason: string }): RejoinError {
  return code === "newer" ? storeNewer() : new RejoinError("store-failed", reason);
}

export function storeNewer(): RejoinError {
  return new RejoinError("store-newer", "a newer version of the application has this device's store: reload the page");
}
