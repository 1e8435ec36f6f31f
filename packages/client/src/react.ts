/**
 * `@rejoin/client/react`: documents, their status and presence as React hooks, on `useSyncExternalStore`.
 *
 * Owns no document: the application opens and closes them. Safe under Strict Mode and in concurrent rendering: what is rendered is always
 * one frozen value, and an edit made by `change` is in the same render as the event that it answers.
 */

import { useCallback, useSyncExternalStore } from "react";

import type { Client } from "./client.js";
import type { ChangeId, SyncDocument } from "./document.js";
import type { Peer, PresenceOptions } from "./presence.js";
import type { ClientStatus, Status } from "./status.js";
import type { Value } from "./values.js";

/** A document as it is rendered. */
export type DocumentView<T extends object> = {
  readonly value: Value<T>;
  readonly status: Status;
  /** Edits the document, and renders the edit at once, as an `onChange` of a controlled field needs it. */
  readonly change: (write: (draft: T) => void) => ChangeId;
};

/** The value of an open document; renders again once after each batch of changes, whoever made them. */
export function useDocument<T extends object, P>(document: SyncDocument<T, P>): DocumentView<T> {
  const store = storeOf(document);
  const view = useSyncExternalStore(store.subscribe, store.read, store.read);
  return view as unknown as DocumentView<T>;
}

/** Where a document stands, or all open documents of a client together. Values that change with nothing else render nothing. */
export function useStatus(source: Client): ClientStatus;
export function useStatus<T extends object, P>(source: SyncDocument<T, P>): Status;
export function useStatus(source: { readonly status: Status }): Status {
  const store = statusOf(source);
  return useSyncExternalStore(store.subscribe, store.read, store.read);
}

/** Who else has a document open, and what says of this page to them. */
export function usePresence<T extends object, P>(
  document: SyncDocument<T, P>,
): readonly [peers: readonly Peer<P>[], say: (value: P, options?: PresenceOptions) => void] {
  const store = presenceOf(document);
  const peers = useSyncExternalStore(store.subscribe, store.read, store.read);
  const say = useCallback((value: P, options?: PresenceOptions) => document.presence.set(value, options), [document]);
  return [peers as readonly Peer<P>[], say];
}

/** What React reads: the same object until something has changed. */
type Store<V> = { subscribe: (rendered: () => void) => () => void; read: () => V };

class Source<V> {
  readonly #look: (last: V | undefined) => V;
  readonly #listen: (told: () => void) => () => void;
  readonly #rendered = new Set<() => void>();
  #last: V | undefined;
  #stop: (() => void) | undefined;

  /** `look` gives `last` itself if nothing has changed. */
  constructor(look: (last: V | undefined) => V, listen: (told: () => void) => () => void) {
    this.#look = look;
    this.#listen = listen;
  }

  readonly store: Store<V> = {
    subscribe: (rendered) => {
      // One function may subscribe twice.
      const one = () => rendered();
      this.#rendered.add(one);
      this.#stop ??= this.#listen(() => this.tell());
      return () => {
        this.#rendered.delete(one);
        if (this.#rendered.size > 0) return;
        this.#stop?.();
        this.#stop = undefined;
      };
    },
    read: () => (this.#last = this.#look(this.#last)),
  };

  tell(): void {
    for (const rendered of [...this.#rendered]) rendered();
  }
}

type Open = SyncDocument<object, unknown>;
type View = { value: unknown; status: Status; change: (write: (draft: never) => void) => ChangeId };

const documents = new WeakMap<object, Store<View>>();
const statuses = new WeakMap<object, Store<Status>>();
const presences = new WeakMap<object, Store<readonly Peer[]>>();

function storeOf(document: unknown): Store<View> {
  return once(documents, document as Open, (open) => {
    const source: Source<View> = new Source(
      (last) => {
        const { value } = open;
        const status = statusNow(open, last?.status);
        return last && last.value === value && last.status === status ? last : { value, status, change };
      },
      (told) => open.subscribe(told),
    );
    const change = (write: (draft: never) => void) => {
      const id = open.change(write as (draft: object) => void);
      source.tell();
      return id;
    };
    return source.store;
  });
}

function statusOf(source: unknown): Store<Status> {
  return once(statuses, source as Open, (open) => {
    return new Source<Status>((last) => statusNow(open, last), (told) => open.subscribe(told)).store;
  });
}

function presenceOf(document: unknown): Store<readonly Peer[]> {
  return once(presences, document as Open, ({ presence }) => {
    const look = (last: readonly Peer[] | undefined) => {
      const peers = presence.peers;
      const isSame = last?.length === peers.length && peers.every(({ id, value }, at) => last[at]?.id === id && last[at]?.value === value);
      return isSame ? last : peers;
    };
    return new Source<readonly Peer[]>(look, (told) => presence.subscribe(told)).store;
  });
}

function once<V>(stores: WeakMap<object, V>, key: Open, make: (key: Open) => V): V {
  const known = stores.get(key) ?? make(key);
  stores.set(key, known);
  return known;
}

/** The status now, or `last` itself if it says the same; of what is closed the last one. */
function statusNow(source: { status: Status }, last: Status | undefined): Status {
  let now: Status;
  try {
    now = source.status;
  } catch (error) {
    if (last) return last;
    throw error;
  }
  return last && saysTheSame(last, now) ? last : now;
}

/** Two readings of one moment differ by what rounding does. */
const SAME_MOMENT_MS = 50;

function saysTheSame(a: Status, b: Status): boolean {
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])] as (keyof Status)[];
  return keys.every((key) => {
    const [one, other] = [a[key] as unknown, b[key] as unknown];
    if (one instanceof Date && other instanceof Date) return Math.abs(one.getTime() - other.getTime()) <= SAME_MOMENT_MS;
    return one === other;
  });
}
