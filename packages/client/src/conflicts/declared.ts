/**
 * Rules as an application declares them in a document, so that devices with other rules notice.
 *
 * Owns the text that declares rules, and where the declared ones differ. In step with `sync-core/src/resolver/declared.rs`; `declared.json` in
 * sync-core's tests holds both to it. Where the text stands is the engine's.
 */

import type { Path } from "../wasm/rejoin.js";
import { holdsAt, type Policy, policyAt, type Rule } from "./policy.js";

/** The first line of the text: its form. */
const FORM = "1";
/** Longest text, in bytes. A larger set of rules is not declared. */
const BYTES_MAX = 16 << 10;

type Line = { readonly pattern: string; readonly title: string; readonly args: readonly string[] };

/** What a document declares. */
export type Declaration = readonly Line[];

/** The text that declares these rules; `undefined` if there are none, or too many. */
export function declarationOf(policies: readonly Policy[]): string | undefined {
  const lines = policies.map((policy) => [policy.pattern, title(policy), ...args(policy)].map(escape).join("\t"));
  const text = [FORM, ...lines].join("\n");
  return lines.length > 0 && new TextEncoder().encode(text).length <= BYTES_MAX ? text : undefined;
}

/** Reads a text; `undefined` if it is none, as one that a later version has written. */
export function parseDeclaration(text: string | undefined): Declaration | undefined {
  const [form, ...lines] = text?.split("\n") ?? [];
  if (text === undefined || form !== FORM || new TextEncoder().encode(text).length > BYTES_MAX) return undefined;
  const parsed = lines.map((line): Line | undefined => {
    const fields = line.split("\t").map(unescape);
    const [pattern, title, ...args] = fields;
    if (fields.includes(undefined) || pattern === undefined || title === undefined || !isTitle(title)) return undefined;
    return { pattern, title, args: args as string[] };
  });
  return parsed.includes(undefined) ? undefined : (parsed as Line[]);
}

/** Whether the rules of a text are to be declared by themselves: nobody has, or only a part or an older version of them. */
export function isDue(own: string, declared: string | undefined): boolean {
  if (declared === undefined || declared === own) return declared === undefined;
  const [lines, others] = [parseDeclaration(own), parseDeclaration(declared)];
  let at = -1;
  // In their order, so that of two sets with something else each neither pushes the other aside.
  return lines !== undefined && others?.every((other) => {
    at = lines.findIndex(({ pattern }, index) => index > at && pattern === other.pattern);
    const line = lines[at];
    return line !== undefined && follows(line, other);
  }) === true;
}

/** Whether a rule is another one, or a later version of it. */
function follows(own: Line, other: Line): boolean {
  const [[name, version], [otherName, otherVersion]] = [split(own.title), split(other.title)];
  return name === otherName && (version > otherVersion || isSame(own, other));
}

function split(title: string): [name: string, version: number] {
  const at = title.lastIndexOf("@");
  return [title.slice(0, at), Number(title.slice(at + 1))];
}

function isSame(own: Omit<Line, "pattern">, other: Line): boolean {
  return own.title === other.title && own.args.length === other.args.length && own.args.every((arg, at) => arg === other.args[at]);
}

/** Where another rule is declared for a path than `policies` have for it: the name and version of theirs and of what is declared. */
export function differs(declaration: Declaration | undefined, policies: readonly Policy[], path: Path): { own: string; declared: string } | undefined {
  const declared = declaration?.find(({ pattern }) => holdsAt(pattern, path));
  if (!declared) return undefined;
  const rule = policyAt(policies, path) ?? { rule: "human", version: 1, options: {} };
  const own = { title: title(rule), args: args(rule) };
  return isSame(own, declared) ? undefined : { own: own.title, declared: declared.title };
}

/** As Rust reads it: a version is written in one way only. */
function isTitle(title: string): boolean {
  const [, version] = split(title);
  return Number.isSafeInteger(version) && version >= 0 && title.endsWith(`@${version}`);
}

function title({ rule, version }: Rule): string {
  return `${rule}@${version}`;
}

/** What a rule was told that decides what it answers. */
function args({ rule, options }: Rule): string[] {
  const { values, separator, author, role, authors } = options;
  if (rule === "order") return Array.isArray(values) ? values.map(String) : [];
  if (rule === "concat") return [typeof separator === "string" ? separator : ""];
  if (rule === "prefer" && role !== undefined) return ["role", String(role), ...(Array.isArray(authors) ? authors.map(String) : [])];
  return rule === "prefer" ? [String(author)] : [];
}

function escape(field: string): string {
  return field.replaceAll("\\", "\\\\").replaceAll("\t", "\\t").replaceAll("\n", "\\n");
}

function unescape(field: string): string | undefined {
  if (/\\(?![tn\\])/.test(field.replaceAll("\\\\", ""))) return undefined;
  return field.replaceAll(/\\([tn\\])/g, (_, c: string) => (c === "t" ? "\t" : c === "n" ? "\n" : "\\"));
}
