/** Where documents stand, in words and numbers to show to people. */

import { type ErrorCode, RejoinError } from "./errors.js";
import type { EngineStatus } from "./wasm/rejoin.js";

/**
 * `synced`: saved on this device and on the server. `syncing`: connected, and something is on its way. `offline`: not connected.
 * `rejected`: the outbox holds changes that the server will not have. `storage-full`: this device is full or its storage fails, and
 * what is newer is in memory only. `failed`: the engine stopped by a defect, or the store can't be had or not any more, as `failure` says;
 * reload the page.
 */
export type State = "synced" | "syncing" | "offline" | "rejected" | "storage-full" | "failed";

/** Where a document stands, or all open documents together. */
export type Status = {
  readonly state: State;
  /** Changes that the server has not acknowledged. Rejected ones are not among them. */
  readonly pending: number;
  /** Changes that the server will not have. */
  readonly rejected: number;
  /** Changes not yet saved on this device: what a crash now would lose. */
  readonly unsaved: number;
  /** When it was last in sync with the server, if it was since the client was connected. */
  readonly syncedAt: Date | undefined;
  /** Whether what is shown is what was seen last, while all that was changed since is still being loaded. */
  readonly loading: boolean;
  /** How much of a long transfer from the server is here, from 0 to 1; none if there is no such transfer. */
  readonly progress: number | undefined;
  /**
   * The code of the error for which a client, or a document, has `failed`: `engine-failed`, `store-failed`, or `store-newer`, where the page is to
   * be loaded again to go on.
   */
  readonly failure?: ErrorCode;
};

/** Where the client stands. */
export type ClientStatus = Status & {
  /** Where edits are kept: on this `device`, or, where the browser keeps nothing for this page, in its `memory` only. */
  readonly storage: "device" | "memory";
  /** Whether a connection to the server stands. */
  readonly connected: boolean;
  /** Whether this tab speaks with the server, for all tabs that have the store open. */
  readonly leads: boolean;
};

/** Before anything is known. */
export const NOTHING: Status = { state: "offline", pending: 0, rejected: 0, unsaved: 0, syncedAt: undefined, loading: false, progress: undefined };

/** The engine's status in the page's terms. */
export function statusOf(engine: EngineStatus, nowMs: number): Status {
  const { state, pending, rejected, unsaved, syncedAtMs } = engine;
  const syncedAt = syncedAtMs === undefined ? undefined : new Date(Date.now() - (nowMs - syncedAtMs));
  return { state, pending, rejected, unsaved, syncedAt, loading: false, progress: undefined };
}

/** The last status of what has failed. */
export function failedWith<S extends Status>(error: unknown, last: S): S {
  return { ...last, state: "failed", ...(error instanceof RejoinError && { failure: error.code }) };
}

/** A status with edits that the engine does not have yet, of which so many are not kept on this device either. */
export function withEdits<S extends Status>(status: S, edits: number, unsaved: number): S {
  if (edits === 0) return status;
  const state = status.state === "synced" ? "syncing" : status.state;
  return { ...status, state, pending: status.pending + edits, unsaved: status.unsaved + unsaved };
}
