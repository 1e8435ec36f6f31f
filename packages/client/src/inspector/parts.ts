/** Elements for the inspector, and numbers and messages in words. */

/** An element with a class and children; what is a string goes in as text. */
export function make(tag: string, className: string, ...children: (Node | string)[]): HTMLElement {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** A list of terms, each with what is said of it and, if given, a class. */
export function terms(...rows: (readonly [term: string, said: Node | string, className?: string])[]): HTMLElement {
  return make("dl", "", ...rows.flatMap(([term, said, className]) => [make("dt", "", term), make("dd", className ?? "", said)]));
}

const UNITS = ["kB", "MB", "GB", "TB"];

export function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  const power = Math.min(Math.floor(Math.log10(bytes) / 3), UNITS.length);
  return `${(bytes / 1_000 ** power).toFixed(1)} ${UNITS[power - 1]}`;
}

export function count(number: number, one: string, more = `${one}s`): string {
  return `${number} ${number === 1 ? one : more}`;
}

/** The first characters of a long id. */
export function short(id: string): HTMLElement {
  const code = make("code", "", id.slice(0, 8));
  code.title = id;
  return code;
}

const SENT = ["Hello", "Auth", "Open", "Push", "Have", "Emit", "Close", "Ping", "Part"];
const RECEIVED = ["Welcome", "Granted", "Expiring", "Opened", "Ack", "Reject", "Changes", "Emit", "Pong", "Throttle", "GoAway", "Part"];

/** A message's kind as the protocol names it. */
export function messageName(direction: "in" | "out", kind: number | undefined): string {
  return (direction === "in" ? RECEIVED : SENT)[kind ?? -1] ?? "message";
}
