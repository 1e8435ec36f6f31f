/** What must compile, and what must not: each line under an expected error fails the build once it compiles. Never run. */

import { type Client, connect, type Counter, type Cursor, type Patch, type SyncDocument, type Text } from "#dist/index.js";
import { collaborate } from "#dist/codemirror.js";
import { useDocument, usePresence, useStatus } from "#dist/react.js";
import { bind, type CaretPresence } from "#dist/textarea.js";

type Groceries = { items: { name: string; done: boolean }[]; note: Text; left: Counter; at?: Date };

/** What bindings take and give. */
export function bound(client: Client, doc: SyncDocument<Groceries, CaretPresence>, field: HTMLTextAreaElement): void {
  bind(field, doc, ["note"], { person: { name: "Ann" } }).unbind();
  bind(field, doc, (value) => (value.items.length > 0 ? ["note"] : undefined), { publish: (presence) => doc.presence.set(presence) });
  collaborate(doc, ["note"]);
  const { value, change } = useDocument(doc);
  const [peers, say] = usePresence(doc);
  const texts: (string | undefined)[] = [value.note, value.items[0]?.name, peers[0]?.value.person?.name, useStatus(client).storage];
  change((d) => d.note.insert(0, "x"));
  // @ts-expect-error a function that finds the text sees the document's value
  bind(field, doc, (value) => (value.itmes.length > 0 ? ["note"] : undefined));
  // @ts-expect-error a person has a name
  bind(field, doc, ["note"], { person: {} });
  // @ts-expect-error a field that is not there
  change((d) => (d.itmes = []));
  // @ts-expect-error presence of another type
  say({ person: 3 });
  // @ts-expect-error the status of a document tells nothing of the storage
  useStatus(doc).storage;
  void texts;
}

export async function typed(): Promise<void> {
  const client: Client = await connect("wss://example.org/sync", { store: "my-app", token: () => fetch("/token").then((r) => r.text()) });
  const list = await client.open<Groceries>("todos/groceries", { init: { items: [] } });
  list.change((d) => d.items.push({ name: "milk", done: false }));
  list.change((d) => d.note.splice(0, 1, "x"));
  list.change((d) => d.note.mark(0, 1, "link", "https://example.org/", { expand: "none" }));
  const marked: string | undefined = list.marks(["note"])[0]?.name;
  // @ts-expect-error a mark that is taken away says nothing
  list.change((d) => d.note.unmark(0, 1, "link", true));
  // @ts-expect-error a mark has no parts
  list.change((d) => d.note.mark(0, 1, "link", { href: "x" }));
  // @ts-expect-error marks are read, and made in a draft
  list.marks(["note"])[0]!.to = 3;
  list.change((d) => d.left.increment());
  list.change((d) => delete d.at);
  const edit = list.change((d) => (d.items[0]!.done = true));
  await list.acknowledged(edit);
  const first: string | undefined = list.value.items[0]?.name;
  const note: string = list.value.note;
  const left: number = list.value.left;
  const at: Date | undefined = list.value.at;
  list.subscribe(({ value, status }) => [value.items.length, status.pending]);

  list.subscribe(({ patches }) => patches.map((patch: Patch) => (patch.kind === "text" ? patch.inserted.length : patch.path)));
  const cursor: Cursor = await list.cursor(["items", 0], 0);
  const place: number | undefined = await list.position(cursor);
  const undone: boolean = (await list.undo()) && (await list.redo());
  const older: string | undefined = (await list.at((await list.history)[0]!.change)).items[0]?.name;
  const present = await client.open<Groceries, { name: string; at?: Cursor }>("todos/groceries");
  present.presence.set({ name: "Ann", at: cursor }, { ttl: 1_000 });
  present.presence.subscribe((peers) => peers.map(({ id, value }) => `${id} ${value.name}`));

  // @ts-expect-error presence of another type
  present.presence.set({ name: 3 });
  // @ts-expect-error what others say is read, not written
  present.presence.peers.push({ id: "x", value: { name: "x" } });
  // @ts-expect-error any string is no cursor
  list.position("x");
  // @ts-expect-error an older value is read, not written
  (await list.at("x")).items.push({ name: "milk", done: false });
  // @ts-expect-error a field that is not there
  list.change((d) => (d.itmes = []));
  // @ts-expect-error a field of another type
  list.change((d) => d.items.push({ name: "milk", done: "no" }));
  // @ts-expect-error a field is missing
  list.change((d) => d.items.push({ name: "milk" }));
  // @ts-expect-error a text is no string in a draft
  list.change((d) => (d.note = "x"));
  // @ts-expect-error values are read, not written
  list.value.items.push({ name: "milk", done: false });
  // @ts-expect-error values are read, not written
  list.value.note = "x";
  // @ts-expect-error no such field
  list.value.nothing;
  // @ts-expect-error only what is empty is the same on all devices
  await client.open<Groceries>("x", { init: { items: [{ name: "milk", done: false }] } });
  // @ts-expect-error a number is no change's id
  await list.acknowledged(3);
  void [first, note, left, at, place, undone, older, marked];
}
