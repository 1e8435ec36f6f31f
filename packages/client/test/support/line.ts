/**
 * A line between a page and a server, which may be bad: slow, late, and cut in the middle of whatever is on its way.
 *
 * Owns the bytes' way and nothing of what they mean. Chance is drawn from a seed, so that a run can be had again.
 */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

import { type Random, random } from "./random.js";

/** How bad it is. */
export type Badness = {
  /** Each piece is late by up to so much, and keeps its place in the row. */
  latenessMs: number;
  /** So many bytes a second go each way. */
  bytesPerS: number;
  /** A connection is cut after so many bytes, at least and at most, counted both ways. */
  cutAfter: readonly [number, number];
};

export class Line {
  readonly #server: Server;
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #bad: Badness | undefined;
  readonly #random: Random;
  /** Connections that were cut so far. */
  cuts = 0;
  /** Bytes that went to the server and from it. */
  readonly carried = { up: 0, down: 0 };
  #isDown = false;

  private constructor(target: string, bad: Badness | undefined, seed: number) {
    this.#target = new URL(target);
    this.#bad = bad;
    this.#random = random(seed);
    this.#server = createServer((socket) => this.#join(socket));
  }

  /** A line to the server at `target`, good unless it is said how bad it is. */
  static async open(target: string, bad?: Badness, seed = 1): Promise<Line> {
    const line = new Line(target, bad, seed);
    line.#server.listen(0, "127.0.0.1");
    await once(line.#server, "listening");
    return line;
  }

  /** The server's address as it is reached over the line. */
  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `ws://127.0.0.1:${port}${this.#target.pathname}`;
  }

  /** From now on it is a good line, also for the connections that stand. */
  heal(): void {
    this.#bad = undefined;
  }

  /** Cuts all connections, and takes none until it is `up`. */
  down(): void {
    this.#isDown = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  up(): void {
    this.#isDown = false;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(near: Socket): void {
    if (this.#isDown) return void near.destroy();
    const far = connect(Number(this.#target.port), this.#target.hostname);
    const left = { bytes: this.#bad ? this.#between(...this.#bad.cutAfter) : Infinity };
    for (const [from, to] of [[near, far], [far, near]] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      const end = () => {
        this.#sockets.delete(from);
        to.destroy();
      };
      from.on("error", end).on("close", end);
      void this.#carry(from, to, left, from === near ? "up" : "down");
    }
  }

  /** Takes the next piece only when the last one has gone, so that what is too much waits with its sender. */
  async #carry(from: Socket, to: Socket, left: { bytes: number }, way: "up" | "down"): Promise<void> {
    try {
      for await (const piece of from as AsyncIterable<Buffer>) {
        const bad = this.#bad;
        if (bad) await pause((piece.length / bad.bytesPerS) * 1_000 + this.#between(0, bad.latenessMs));
        const whole = !this.#bad || piece.length < left.bytes;
        if (to.destroyed) return;
        to.write(whole ? piece : piece.subarray(0, left.bytes));
        this.carried[way] += Math.min(piece.length, left.bytes);
        left.bytes -= piece.length;
        if (whole) continue;
        this.cuts += 1;
        from.destroy();
        to.destroySoon();
        return;
      }
    } catch {
      // One of the two ends has gone.
    }
  }

  #between(least: number, most: number): number {
    return least + this.#random(most - least);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
