/** What the page and the worker that has the documents say to each other. Plain data only, in order, nothing lost. */

import type { EngineAnswer } from "./conflicts/list.js";
import type { Told } from "./conflicts/types.js";
import type { Frame } from "./driver.js";
import { type ErrorCode, RejoinError } from "./errors.js";
import type { Peer } from "./presence.js";
import type { ClientStatus, Status } from "./status.js";
import type { Edit, Held, NewValue, OutboxEntry, Path } from "./wasm/rejoin.js";

/** How a client is started. `asksToken`: the page is asked for a token before each connection. */
export type Settings = { url: string; store: string; online: boolean; token: string | undefined; asksToken: boolean; author: string | undefined };

/** A root key that all devices create alike. */
export type InitKey = { key: string; kind: "map" | "list" | "text" | "counter"; start: number | undefined };

/** A document's value as it is kept for the next time. */
export type Kept = Extract<NewValue, { map: unknown }>;

/** What the page wants an answer to. */
export type Ask =
  | { do: "start"; settings: Settings }
  /** The page shows `view` already, if it is given, and goes on from there; else it waits for what `opened` says. */
  | { do: "open"; document: number; name: string; init: InitKey[]; view: Kept | undefined }
  | { do: "init"; document: number; init: InitKey[] }
  | { do: "cursor"; document: number; base: number; path: Path; index: number }
  | { do: "position"; document: number; cursor: string }
  | { do: "history" | "undo" | "redo" | "export"; document: number }
  /** How many edits are lost by that. */
  | { do: "close-document"; document: number }
  | { do: "at" | "retry" | "discard"; document: number; change: string }
  | { do: "resolve"; document: number; conflict: string; version: number; answer: EngineAnswer; note: string | undefined }
  | { do: "reopen" | "conflict"; document: number; conflict: string }
  /** Whether anything was written. */
  | { do: "declare"; document: number }
  /** Where changes write that the server is not known to have. */
  | { do: "pending"; document: number }
  | { do: "close" }
  | { do: "inspect" };

/** From the page. `base` is how many batches that came from elsewhere it had seen. */
export type Request =
  | { kind: "call"; call: number; ask: Ask }
  | { kind: "edit"; document: number; base: number; refused: number; change: number; edits: Edit[] }
  | { kind: "seen"; document: number; base: number }
  /** From now on conflicts are told. */
  | { kind: "conflicts"; document: number }
  /** The rules in force, as the text that declares them. */
  | { kind: "rules"; document: number; text: string | undefined }
  | { kind: "presence"; document: number; value: unknown; ttl: number }
  | { kind: "token"; call: number; token: string | undefined }
  | { kind: "online"; online: boolean }
  /** Whether each message on the connection is to be told. */
  | { kind: "watch"; frames: boolean }
  /** After `outdated`: all that the page has edited is said. */
  | { kind: "flushed" }
  | { kind: "network" | "hidden" | "leave" | "crash" };

/** An error on its way. */
export type Failure = { code: ErrorCode | undefined; message: string };

/** All of a document but its value. */
export type DocumentState = {
  status: Status;
  outbox: readonly OutboxEntry[] | undefined;
  saved: number;
  acknowledged: number;
  canUndo: boolean;
  canRedo: boolean;
};

/** A document as it is when it is opened, but for its value. */
export type Opening = { document: number; base: number; state: DocumentState; peers: readonly Peer[] };

/** Messages that went over a connection. */
export type Traffic = { readonly frames: number; readonly bytes: number };

/** What an inspector is told: of each document, by its number, what the engine holds. */
export type Inspected = { tab: number | undefined; traffic: Record<Frame["direction"], Traffic>; held: [number, Held][] };

/** From the worker. */
export type Answer =
  /** `alive` names a lock that the worker holds as long as it runs, where it can have one. */
  | { kind: "hello"; alive: string | undefined }
  | { kind: "opened"; name: string; opening: Opening; value: NewValue }
  | { kind: "answer"; call: number; value: unknown }
  | { kind: "failure"; call: number; failure: Failure }
  /** Something came from elsewhere: these edits lead to what the document is now. */
  | { kind: "come"; document: number; edits: Edit[] }
  /** The page's edits up to this one are in the document, as these, and counted in both states; or they are not, and never will be. */
  | { kind: "done"; document: number; change: number; edits: Edit[]; refused: Failure | undefined; state: DocumentState; client?: ClientStatus }
  | { kind: "state"; document: number; state: DocumentState }
  | { kind: "peers"; document: number; peers: readonly Peer[] }
  | ({ kind: "conflicts"; document: number; declared: string | undefined } & Told)
  | { kind: "client"; status: ClientStatus; persist: boolean }
  | { kind: "token"; call: number }
  | { kind: "frame"; frame: Frame }
  /** A newer version waits for the store: what was edited is to be said, and nothing more. */
  | { kind: "outdated" }
  | { kind: "failed"; failure: Failure };

export function failureOf(error: unknown): Failure {
  return error instanceof RejoinError
    ? { code: error.code, message: error.message }
    : { code: undefined, message: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
}

export function errorOf({ code, message }: Failure): Error {
  return code ? new RejoinError(code, message) : new Error(message);
}
