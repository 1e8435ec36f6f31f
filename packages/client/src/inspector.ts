/**
 * `@rejoin/client/inspector`: the element `<rejoin-inspector>`, which shows what goes on inside a client. Give it one as `client`.
 *
 * Owns what it draws and nothing of the client: it reads what `inspect()` tells, and turns only what its reader turns.
 */

import type { Client, Diagnosis, DocumentDiagnosis } from "./client.js";
import type { Frame } from "./driver.js";
import { count, make, messageName, short, size, terms } from "./inspector/parts.js";
import { STYLE } from "./inspector/style.js";
import type { OutboxEntry } from "./wasm/rejoin.js";

/** Frames that are listed, the newest first. */
const FRAMES_MAX = 60;
/** Changes and authors that are listed of a document; of more their number is said. */
const ROWS_MAX = 20;
/** Storage and what else tells nobody when it changes is looked at again after so long. */
const LOOK_AGAIN_MS = 2_000;

/** A client that can be ended as a crash would, where it has that. */
type Crashing = { crash?: () => void };

// Where there is no page, as on a server that renders, importing this must not fail.
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

export class RejoinInspector extends Base {
  readonly #root = this.attachShadow({ mode: "open" });
  readonly #parts = {
    connection: make("div", ""),
    documents: make("div", ""),
    traffic: make("div", ""),
    frames: make("ul", "frames"),
    storage: make("div", ""),
  };
  readonly #network = document.createElement("input");
  readonly #crash = make("button", "", "End it now, as a crash would") as HTMLButtonElement;
  readonly #frames: Frame[] = [];
  #client: Client | undefined;
  #stops: (() => void)[] = [];
  #drawing = false;
  #again = false;

  constructor() {
    super();
    this.#network.type = "checkbox";
    this.#network.setAttribute("role", "switch");
    this.#network.addEventListener("change", () => {
      const client = this.#client;
      try {
        if (this.#network.checked) client?.goOnline();
        else client?.goOffline();
      } catch {
        // One that was closed, or failed, as its state says, has no line to switch.
        this.#network.checked = client?.online ?? false;
      }
    });
    this.#crash.type = "button";
    this.#crash.addEventListener("click", () => (this.#client as Crashing | undefined)?.crash?.());
    this.#parts.frames.tabIndex = 0;
    this.#parts.frames.setAttribute("aria-label", "Messages, the newest first");
    const style = document.createElement("style");
    style.textContent = STYLE;
    const { connection, documents, traffic, frames, storage } = this.#parts;
    const label = make("label", "", make("span", "", "Network"), this.#network);
    this.#root.append(
      style,
      make("section", "", make("h3", "", "Connection"), connection, make("div", "row", label, this.#crash)),
      make("section", "", make("h3", "", "Documents"), documents),
      make("section", "", make("h3", "", "On the line"), traffic, frames),
      make("section", "", make("h3", "", "On this device"), storage),
    );
  }

  /** The client that is looked into. */
  get client(): Client | undefined {
    return this.#client;
  }

  set client(client: Client | undefined) {
    this.#leave();
    this.#client = client;
    this.#frames.length = 0;
    if (this.isConnected) this.#join();
  }

  connectedCallback(): void {
    this.#join();
  }

  disconnectedCallback(): void {
    this.#leave();
  }

  #join(): void {
    const client = this.#client;
    if (!client || this.#stops.length > 0) return;
    const timer = setInterval(() => this.#look(), LOOK_AGAIN_MS);
    this.#stops = [
      client.subscribe(() => this.#look()),
      client.watchFrames((frame) => {
        this.#frames.unshift(frame);
        this.#frames.length = Math.min(this.#frames.length, FRAMES_MAX);
        this.#look();
      }),
      () => clearInterval(timer),
    ];
    this.#crash.hidden = typeof (client as Crashing).crash !== "function";
  }

  #leave(): void {
    for (const stop of this.#stops) stop();
    this.#stops = [];
  }

  /** Draws what is there now, once for however much happens meanwhile. */
  #look(): void {
    if (this.#drawing) {
      this.#again = true;
      return;
    }
    this.#drawing = true;
    requestAnimationFrame(async () => {
      try {
        await this.#draw();
      } finally {
        this.#drawing = false;
        if (this.#again) this.#look();
        this.#again = false;
      }
    });
  }

  async #draw(): Promise<void> {
    const client = this.#client;
    if (!client || this.#stops.length === 0) return;
    const told = await client.inspect().catch((error: Error) => error);
    if (client !== this.#client) return;
    if (told instanceof Error) {
      this.#parts.connection.replaceChildren(make("p", "bad", told.message));
      return this.#leave();
    }
    const { estimate, persisted } = await storage();
    this.#network.checked = client.online;
    this.#parts.connection.replaceChildren(connection(told));
    this.#parts.documents.replaceChildren(...told.documents.map(document_));
    this.#parts.traffic.replaceChildren(traffic(told));
    this.#parts.frames.replaceChildren(...this.#frames.map(frame));
    const kept = told.status.storage === "device" ? "IndexedDB, on this device" : "in memory only";
    this.#parts.storage.replaceChildren(
      terms(["Kept", kept, told.status.storage === "device" ? "" : "bad"], ["Used", estimate], ["When room is short", persisted]),
    );
  }
}

function connection({ url, status, tab }: Diagnosis): HTMLElement {
  const role = tab === undefined ? "alone on its store" : status.leads ? "leads: holds the line for all tabs" : "follows the tab that leads";
  return terms(
    ["Server", url],
    ["Line", status.connected ? "connected" : "not connected", status.connected ? "good" : "waits"],
    ["This tab", tab === undefined ? role : `number ${tab}, ${role}`],
    ["State", status.state, status.state === "synced" ? "good" : /rejected|full|failed/.test(status.state) ? "bad" : "waits"],
    ["Last in sync", status.syncedAt?.toLocaleTimeString() ?? "not since it was opened"],
  );
}

function document_({ name, status, cursor, clock, outbox }: DocumentDiagnosis): HTMLElement {
  const changes = clock.reduce((sum, [, seq]) => sum + seq, 0);
  const authors = clock.slice(0, ROWS_MAX).map(([actor, seq]) => make("li", "", short(actor), make("span", "", count(seq, "change"))));
  if (clock.length > ROWS_MAX) authors.push(make("li", "quiet", `and ${clock.length - ROWS_MAX} more`));
  const waiting = outbox.slice(0, ROWS_MAX).map(entry);
  if (outbox.length > ROWS_MAX) waiting.push(make("li", "quiet", `and ${outbox.length - ROWS_MAX} more`));
  return make(
    "article",
    "",
    make("h4", "", name),
    terms(
      ["State", status.state],
      ["Cursor", cursor === undefined ? "the server was not heard yet" : `${cursor} in the server’s log`],
      ["Clock", `${count(changes, "change")} by ${count(clock.length, "author")}`],
    ),
    make("ul", "clock", ...authors),
    make("h4", "", `Outbox: ${outbox.length === 0 ? "empty" : count(outbox.length, "change")}`),
    make("ul", "outbox", ...waiting),
  );
}

const STATES = { waits: "saved here, waits for the history", unsaved: "not saved yet", saved: "saved here, waits", sent: "sent, not answered", rejected: "refused" };

function entry({ change, operations, state, reason }: OutboxEntry): HTMLElement {
  const says = make("span", state === "rejected" ? "bad" : "waits", STATES[state]);
  if (reason) says.title = reason;
  return make("li", "", short(change), make("span", "quiet", count(operations, "edit")), says);
}

function traffic({ traffic }: Diagnosis): HTMLElement {
  const said = ({ frames, bytes }: { frames: number; bytes: number }) => `${count(frames, "frame")}, ${size(bytes)}`;
  return terms(["In", said(traffic.in)], ["Out", said(traffic.out)]);
}

function frame({ direction, bytes, kind, at }: Frame): HTMLElement {
  const arrow = make("span", direction === "in" ? "good" : "waits", direction === "in" ? "↓ in" : "↑ out");
  const time = make("span", "quiet", new Date(at).toLocaleTimeString());
  return make("li", "", time, arrow, make("span", "", messageName(direction, kind)), make("span", "", size(bytes)));
}

async function storage(): Promise<{ estimate: string; persisted: string }> {
  try {
    const { usage, quota } = (await navigator.storage?.estimate?.()) ?? {};
    const isKept = await navigator.storage?.persisted?.();
    return {
      estimate: usage === undefined ? "unknown" : `${size(usage)} of ${size(quota ?? 0)} by all pages of this address`,
      persisted: isKept ? "the browser keeps it" : "the browser may drop it",
    };
  } catch {
    return { estimate: "unknown", persisted: "unknown" };
  }
}

// Two copies of the package may be on one page.
if (globalThis.customElements && !customElements.get("rejoin-inspector")) customElements.define("rejoin-inspector", RejoinInspector);

declare global {
  interface HTMLElementTagNameMap {
    "rejoin-inspector": RejoinInspector;
  }
}
