/** One holder of a store at a time: two that wrote to it under one identity would contradict each other. */

import { RejoinError } from "./errors.js";

/** A page that is being left frees its lock a moment after the next one has begun. */
const HANDOVER_MS = 2_000;

/** Whether the browser has locks for this page; it has none where the page came over plain http from another machine. */
export function hasLocks(): boolean {
  return Boolean(globalThis.navigator?.locks);
}

/** Takes the lock on a store; gives what frees it. A lock also goes with its page, however that ends. */
export async function lockStore(name: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(HANDOVER_MS);
    const held = () => new Promise<void>((release) => resolve(release));
    navigator.locks.request(name, { signal }, held).catch((error: unknown) => {
      const inUse = new RejoinError("store-in-use", "another tab has this store open");
      reject(signal.aborted ? inUse : error);
    });
  });
}
