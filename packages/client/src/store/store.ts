/** What a local store must be: ordered tables of keys and values with atomic, durable transactions. */

import type { Row, Table, Write } from "../wasm/rejoin.js";

export type { Row, Table, Write };

/** All tables. */
export const TABLES: readonly Table[] = ["meta", "document", "chunk", "outbox"];

/** A local store. The contract that every one keeps is tested by `test/contract.ts`. */
export interface LocalStore {
  /** Whether what is committed survives the page. */
  readonly durable: boolean;
  /** All rows whose key begins with `prefix`, in key order, from each of the tables. */
  read(tables: readonly Table[], prefix: Uint8Array): Promise<Row[][]>;
  /**
   * Commits all writes in order, or none; ends once they would survive a crash. Those of a leader come with the number that `lead` gave it,
   * and fail with `deposed` once another tab leads.
   */
  commit(writes: readonly Write[], epoch?: number): Promise<void>;
  /** Makes this the store of the tab that leads: from now on no earlier leader can commit. Gives a number that grows with each. */
  lead?(): Promise<number>;
  /** Called when a newer version of the application waits for the store: it is to be closed as soon as what is on its way is there. */
  outdated?: () => void;
  /** Lets the store go. */
  close(): void;
}

export type StoreErrorCode = "full" | "io" | "corrupt" | "deposed";

/** Why a store could not do something. */
export class StoreError extends Error {
  /** Only `full` and `io` may pass by themselves. `deposed`: another tab leads. */
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string) {
    super(message);
    this.name = "StoreError";
    this.code = code;
  }
}

/** Writes; a device that is full has no room for caches. */
export async function withRoom<R>(caches: { clear(): Promise<void> } | undefined, write: () => Promise<R>): Promise<R> {
  try {
    return await write();
  } catch (error) {
    if (!(error instanceof StoreError && error.code === "full" && caches)) throw error;
    await caches.clear();
    return write();
  }
}

/** The first key beyond all that begin with `prefix`; `undefined` if there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array | undefined {
  let last = prefix.length - 1;
  while (last >= 0 && prefix[last] === 0xff) last -= 1;
  if (last < 0) return undefined;
  const end = prefix.slice(0, last + 1);
  end[last] = (end[last] as number) + 1;
  return end;
}
