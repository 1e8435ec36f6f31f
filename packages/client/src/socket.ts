/** One connection to the server, from the attempt to its end. Whether and when to try again is the engine's business. */

const SUBPROTOCOL = "rejoin.v1";

/** What a connection reports. After `ended` it reports nothing more. */
export type SocketEvents = { opened(): void; frame(frame: Uint8Array): void; ended(reason: string): void };

export class Socket {
  readonly #socket: WebSocket;
  #events: SocketEvents | undefined;

  constructor(url: string, events: SocketEvents) {
    this.#events = events;
    const socket = new WebSocket(url, SUBPROTOCOL);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#events?.opened();
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (data instanceof ArrayBuffer) this.#events?.frame(new Uint8Array(data));
      else this.#end("the server sent text, which is not our protocol");
    };
    socket.onclose = ({ code, reason }) => this.#end(reason ? `${reason} (${code})` : `closed (${code})`);
    this.#socket = socket;
  }

  /** Queues a frame; one queued on a connection that has just broken goes with it. */
  send(frame: Uint8Array): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(frame as Uint8Array<ArrayBuffer>);
  }

  /** Ends the connection without a report. */
  drop(): void {
    this.#events = undefined;
    this.#socket.close();
  }

  #end(reason: string): void {
    const events = this.#events;
    this.drop();
    events?.ended(reason);
  }
}
