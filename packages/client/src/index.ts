/** Offline-first documents: edited on this device with or without a network, and kept in sync with a Rejoin server. */

export { Client, connect, type ConnectOptions, type Diagnosis, type DocumentDiagnosis, type Init, type OpenOptions } from "./client.js";
export { checkRule } from "./conflicts/check.js";
export { Conflicts } from "./conflicts/list.js";
export {
  concat, customRule, first, human, latest, max, mergeMaps, min, order, type Policy, policy, prefer, reject, type Rule, sumDeltas, text3way, union,
  type RuleOptions,
} from "./conflicts/policy.js";
export type { RuleFault, RuleInput } from "./conflicts/rules.js";
export type { Answer, AnswerOptions, Candidate, Conflict, ConflictFilter, ConflictKind, ConflictState, Counted, Settlement } from "./conflicts/types.js";
export type { Patch } from "./diff.js";
export { type ChangeId, type Cursor, type Inspection, type Snapshot, SyncDocument } from "./document.js";
export type { Frame, TokenSource } from "./driver.js";
export { type ConflictChange, type ErrorCode, RejoinError } from "./errors.js";
export type { Peer, Presence, PresenceOptions } from "./presence.js";
export type { InJson, WaitingLine } from "./shelf.js";
export type { ClientStatus, State, Status } from "./status.js";
export { Counter, type MarkOptions, Text, type Value } from "./values.js";
export type { Edit, Expand, Held, Mark, MarkValue, NewValue, OutboxEntry, Path, RejectCode, Version } from "./wasm/rejoin.js";
export type { Traffic } from "./wire.js";
