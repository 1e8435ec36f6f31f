/**
 * The page's way to where the engine is: a worker, or the page itself where none can be started. One code path.
 *
 * Owns calls and their answers, and notices when the other end is gone.
 */

import { RejoinError } from "./errors.js";
import { hasLocks } from "./tabs.js";
import { type Answer, type Ask, errorOf, type Request } from "./wire.js";

/** What comes by itself, not as the answer to a call. */
export type News = Exclude<Answer, { kind: "hello" | "answer" | "failure" }>;

type Call = { resolve: (value: never) => void; reject: (error: Error) => void };

type Port = { postMessage(message: unknown): void; end(): void };

export class Channel {
  /** The way to the other end; before it is there, what waits for it. */
  #port: Port | undefined;
  #early: Request[] = [];
  readonly #calls = new Map<number, Call>();
  #count = 0;
  #ended: Error | undefined;
  #tell: (news: News) => void = () => undefined;

  /** Starts the other end. What is said before it is there waits for it. */
  constructor() {
    const listener: Listener = {
      heard: (answer) => this.#heard(answer),
      died: (why) => this.fail(new RejoinError("engine-failed", `the worker has stopped: reload the page (${why})`)),
    };
    void this.#start(listener).catch((error: unknown) => listener.died(String(error)));
  }

  async #start(listener: Listener): Promise<void> {
    const port = (await startWorker(listener)) ?? (await startHere(listener));
    if (this.#ended) return port.end();
    this.#port = port;
    for (const request of this.#early) port.postMessage(request);
    this.#early = [];
  }

  listen(tell: (news: News) => void): void {
    this.#tell = tell;
  }

  /** Asks, and waits for the answer. */
  call<R>(ask: Ask): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      if (this.#ended) return reject(this.#ended);
      const call = (this.#count += 1);
      this.#calls.set(call, { resolve: resolve as Call["resolve"], reject });
      this.send({ kind: "call", call, ask });
    });
  }

  send(request: Request): void {
    if (this.#ended) return;
    if (this.#port) this.#port.postMessage(request);
    else this.#early.push(request);
  }

  /** Ends the other end; what still waits for an answer is told why. */
  end(why: Error): void {
    if (this.#ended) return;
    this.#ended = why;
    this.#port?.end();
    for (const { reject } of this.#calls.values()) reject(why);
    this.#calls.clear();
  }

  /** The other end is no more. */
  fail(why: RejoinError): void {
    if (this.#ended) return;
    this.end(why);
    this.#tell({ kind: "failed", failure: { code: why.code, message: why.message } });
  }

  #heard(answer: Answer): void {
    if (answer.kind === "hello") return;
    if (answer.kind !== "answer" && answer.kind !== "failure") return this.#tell(answer);
    const call = this.#calls.get(answer.call);
    this.#calls.delete(answer.call);
    if (answer.kind === "answer") call?.resolve(answer.value as never);
    else call?.reject(errorOf(answer.failure));
  }
}

type Listener = { heard: (answer: Answer) => void; died: (why: string) => void };

/** A worker, once it answers; none where the browser, or the page's rules, have no room for one. */
function startWorker(listener: Listener): Promise<Port | undefined> {
  return new Promise((resolve) => {
    try {
      const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
      let runs = false;
      worker.onmessage = ({ data }: MessageEvent<Answer>) => {
        if (runs) return listener.heard(data);
        runs = true;
        const watch = new AbortController();
        const end = () => {
          watch.abort();
          worker.terminate();
        };
        resolve({ postMessage: (message) => worker.postMessage(message), end });
        // A worker that dies says nothing, but it can't keep its lock.
        if (data.kind !== "hello" || data.alive === undefined || !hasLocks()) return;
        const { signal } = watch;
        navigator.locks.request(data.alive, { signal }, () => listener.died("it died")).catch(() => undefined);
      };
      worker.onerror = (event) => {
        event.preventDefault();
        if (runs) return listener.died(event.message);
        worker.terminate();
        resolve(undefined);
      };
    } catch {
      resolve(undefined);
    }
  });
}

/** The same in the page. */
async function startHere(listener: Listener): Promise<Port> {
  const { serve } = await import("./host.js");
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }: MessageEvent<Answer>) => listener.heard(data);
  serve(port2);
  return {
    postMessage: (message) => port1.postMessage(message),
    end: () => {
      port1.postMessage({ kind: "crash" } satisfies Request);
      port1.close();
    },
  };
}
