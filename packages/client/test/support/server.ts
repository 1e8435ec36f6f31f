/** The real server program, which may die and come back on the same folder and port. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

export class SyncServer {
  readonly #data: string;
  #folder: string;
  readonly #origin: string;
  #child: ChildProcess | undefined;
  #listen = "127.0.0.1:0";

  readonly #settings: string[];

  private constructor(data: string, origin: string, settings: string[]) {
    this.#data = data;
    this.#folder = join(data, "store");
    this.#origin = origin;
    this.#settings = settings;
  }

  /** A server for pages of `origin`, started, with further arguments. */
  static async start(origin: string, ...settings: string[]): Promise<SyncServer> {
    const server = new SyncServer(await mkdtemp(join(tmpdir(), "rejoin-server-")), origin, settings);
    await server.start();
    return server;
  }

  /** A server on a folder that is there already, and stays. */
  static async on(folder: string, origin: string): Promise<SyncServer> {
    const server = new SyncServer(folder, origin, []);
    server.#folder = folder;
    await server.start();
    return server;
  }

  get url(): string {
    return `ws://${this.#listen}/sync`;
  }

  async start(): Promise<void> {
    const program = process.env.REJOIN_SERVER;
    if (!program) throw new Error("REJOIN_SERVER names the server program");
    // Silence is noticed after two heartbeats; whoever counts bytes wants fewer.
    const env = { REJOIN_HEARTBEAT_S: "1", REJOIN_LOG: "warn", ...process.env };
    const args = ["serve", "--data", this.#folder, "--listen", this.#listen, "--allow-origin", this.#origin, ...this.#settings];
    const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "inherit"] });
    this.#child = child;
    const lines = createInterface({ input: child.stdout });
    const ended = once(child, "exit").then(() => "");
    const first = await Promise.race([once(lines, "line").then(([line]) => String(line)), ended]);
    const address = /http:\/\/(\S+)/.exec(first)?.[1];
    if (!address) throw new Error(`the server does not say where it listens: ${first}`);
    this.#listen = address;
  }

  /** Sends a signal, such as `SIGSTOP`: a server that stands still has taken a push into its socket, and answers nothing. */
  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  /** Writes the whole store to a file; gives it. */
  async backup(): Promise<string> {
    const file = join(this.#data, `backup-${randomUUID()}`);
    await this.#command("export", "--data", this.#folder, "--out", file);
    return file;
  }

  /** `kill -9`, and a start on a folder of what a backup holds. */
  async restore(backup: string): Promise<void> {
    await this.kill();
    this.#folder = join(this.#data, randomUUID());
    await this.#command("import", "--data", this.#folder, backup);
    await this.start();
  }

  /** `kill -9`, and a start on the same folder with one document more, of automerge's saved form. */
  async import(document: string, file: string): Promise<void> {
    await this.kill();
    await this.#command("import", "--data", this.#folder, "--document", document, file);
    await this.start();
  }

  /** `kill -9`, and a start on the same folder once its documents are packed together, with snapshots for newcomers. */
  async compact(): Promise<void> {
    await this.kill();
    await this.#command("compact", "--data", this.#folder);
    await this.start();
  }

  async #command(...args: string[]): Promise<void> {
    await promisify(execFile)(process.env.REJOIN_SERVER as string, args);
  }

  /** Ends it and removes its data. */
  async remove(): Promise<void> {
    await this.kill();
    await rm(this.#data, { recursive: true, force: true });
  }
}
