// Documents as users of @automerge/automerge make them, for the validator to let in: `documents.mjs FIRST COUNT STEPS`.
//
// Each document is edited at random on several replicas with every operation that the library has, by forks, merges, edits at old heads,
// undo and long branches, and comes out as a line of JSON: its changes in a causal order, its heads and its text. A seed gives the same document again.

import * as A from "@automerge/automerge";

const [first, count, steps] = process.argv.slice(2).map(Number);
const REPLICAS_MAX = 8;
const KEYS = ["a", "b", "title", "ünïcode", "count"];
const EXPANDS = ["before", "after", "both", "none"];

/** The generator of one document: mulberry32, which is short and good enough to spread choices. */
function chance(seed) {
  let state = seed >>> 0;
  const unit = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (bound) => Math.floor(unit() * bound);
  return { below, often: (probability) => unit() < probability, pick: (among) => among[below(among.length)] };
}

class Editor {
  constructor(seed) {
    this.random = chance(seed);
    this.actors = 0;
    this.seed = seed;
    // How often replicas meet: some documents have branches of hundreds of changes.
    this.meets = this.random.pick([0.12, 0.04, 0.005]);
    const start = { text: "", list: [], map: {}, count: new A.Counter(1) };
    const author = this.random.often(0.3) ? { author: "a1b2c3d4" } : {};
    this.docs = [A.change(A.init({ actor: this.actor(), ...author }), this.options(), (doc) => Object.assign(doc, start))];
    for (let more = 1 + this.random.below(4); more > 0; more--) this.docs.push(A.clone(this.docs[0], { actor: this.actor() }));
  }

  /** A fresh actor; spread, so that the order of actors is not that of their making. */
  actor() {
    const spread = Math.imul(++this.actors, 0x9e3779b1) >>> 0;
    return [spread, this.seed, 0, this.actors].map((part) => part.toString(16).padStart(8, "0")).join("");
  }

  options() {
    const time = this.random.below(2 ** 31);
    return this.random.often(0.3) ? { time, message: "because" } : { time };
  }

  step() {
    const which = this.random.below(this.docs.length);
    const meet = this.random.often(this.meets);
    if (meet && this.random.often(0.3)) return this.fork(which);
    if (meet) this.merge(which, (which + 1 + this.random.below(this.docs.length - 1)) % this.docs.length);
    else if (this.random.often(0.02)) this.docs[which] = A.emptyChange(this.docs[which], this.options());
    else this.edit(which);
  }

  merge(into, from) {
    this.docs[into] = A.merge(this.docs[into], this.docs[from]);
  }

  /** A burst of edits in one change, undone at once now and then by its inverse. */
  edit(which) {
    const before = this.docs[which];
    const heads = A.getHeads(before);
    let doc = A.change(before, this.options(), (draft) => {
      for (let edits = 1 + this.random.below(4); edits > 0; edits--) this.editSomewhere(draft);
    });
    if (this.random.often(0.15)) {
      const inverse = A.diff(doc, A.getHeads(doc), heads);
      doc = A.change(doc, this.options(), (draft) => inverse.forEach((patch) => undo(draft, patch)));
    }
    this.docs[which] = doc;
  }

  /** An edit at old heads: a fork of them by a fresh actor. */
  fork(which) {
    const changes = A.getAllChanges(this.docs[which]);
    const { hash } = A.decodeChange(this.random.pick(changes));
    const fork = A.clone(A.view(this.docs[which], [hash]), { actor: this.actor() });
    if (this.docs.length < REPLICAS_MAX) return this.docs.push(fork);
    this.merge((which + 1) % this.docs.length, which);
    this.docs[which] = fork;
  }

  /** Walks down from the root at random and edits where it ends. */
  editSomewhere(draft) {
    let at = draft, path = [], parent = null;
    for (let depth = this.random.below(5); depth > 0; depth--) {
      const inside = Object.keys(at).filter((key) => isObject(at[key]));
      if (inside.length === 0) break;
      const key = this.random.pick(inside);
      path = [...path, Array.isArray(at) ? Number(key) : key];
      parent = at;
      at = at[key];
      if (typeof at === "string") return this.editText(draft, path, at);
    }
    if (Array.isArray(at)) this.editList(at);
    else this.editMap(at, parent === null);
  }

  editMap(map, isRoot) {
    const key = this.random.pick(KEYS);
    switch (this.random.below(8)) {
      case 0: delete map[key]; break;
      case 1: if (isRoot) map.count = new A.Counter(this.random.below(9)); else map[key] = new A.Counter(0); break;
      case 2: case 3: this.count(map, key); break;
      default: map[key] = this.value(2);
    }
  }

  editList(list) {
    const at = this.random.below(list.length + 1);
    switch (this.random.below(7)) {
      case 0: case 1: list.push(this.value(2)); break;
      case 2: list.splice(at, this.random.below(3), this.value(1), this.value(0)); break;
      case 3: A.insertAt(list, at, this.value(2)); break;
      case 4: if (at < list.length) A.deleteAt(list, at); break;
      case 5: if (at < list.length) this.count(list, at); break;
      default: if (at < list.length) list[at] = this.value(2);
    }
  }

  count(object, key) {
    if (!(object[key] instanceof A.Counter)) return;
    if (this.random.often(0.5)) object[key].increment(this.random.below(100));
    else object[key].decrement(this.random.below(100));
  }

  editText(draft, path, text) {
    const at = this.random.below(text.length + 1);
    const rest = this.random.below(text.length - at + 1);
    const range = { start: at, end: at + rest, expand: this.random.pick(EXPANDS) };
    switch (this.random.below(12)) {
      case 0: A.mark(draft, path, range, "bold", true); break;
      case 1: A.mark(draft, path, range, "link", this.random.pick(["https://example.org", 7, null])); break;
      case 2: A.unmark(draft, path, range, "bold"); break;
      case 3: A.splitBlock(draft, path, at, { type: "paragraph", parents: [], attrs: {} }); break;
      case 4: A.updateText(draft, path, text.slice(0, at) + "änd 🦀" + text.slice(at + rest)); break;
      case 5: A.splice(draft, path, at, Math.min(rest, 3)); break;
      default: A.splice(draft, path, at, Math.min(rest, 1), this.random.pick(["typéd", "word ", "→", "🦀"]));
    }
  }

  value(depth) {
    switch (this.random.below(depth > 0 ? 15 : 11)) {
      case 0: return null;
      case 1: return this.random.often(0.5);
      case 2: return this.random.below(2 ** 31) - 2 ** 30;
      case 3: return new A.Uint(this.random.below(2 ** 31));
      case 4: return this.random.below(1000) / 7;
      case 5: return new A.Int(-this.random.below(1000));
      case 6: return new Uint8Array([1, 2, this.random.below(256)]);
      case 7: return new Date(this.random.below(2 ** 40));
      case 8: return new A.Counter(this.random.below(100));
      case 9: return new A.ImmutableString("wörd");
      case 10: return new A.Float64(this.random.below(9));
      case 11: return "text";
      case 12: return { inner: this.value(depth - 1), other: this.value(0) };
      case 13: return [this.value(depth - 1), this.value(0)];
      default: return {};
    }
  }
}

function isObject(value) {
  if (typeof value === "string") return true;
  const plain = [A.Counter, A.ImmutableString, Date, Uint8Array].every((kind) => !(value instanceof kind));
  return typeof value === "object" && value !== null && plain;
}

/** Applies a patch of an inverse as far as the library can: it refuses to delete keys of maps, and what it can't find. */
function undo(draft, patch) {
  const key = patch.path.at(-1);
  try {
    if (patch.action !== "del" || typeof key === "number") return A.applyPatch(draft, patch);
    delete patch.path.slice(0, -1).reduce((object, step) => object[step], draft)[key];
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
  }
}

/** The changes of all replicas, each after those that it depends on. */
function causal(docs) {
  const held = new Set(), all = [];
  const add = (change) => {
    const { hash } = A.decodeChange(change);
    if (!held.has(hash)) all.push(change);
    held.add(hash);
  };
  docs.forEach((doc) => A.getAllChanges(doc).forEach(add));
  return all;
}

for (let seed = first; seed < first + count; seed++) {
  const editor = new Editor(seed);
  for (let step = 0; step < steps; step++) editor.step();
  const changes = causal(editor.docs);
  const [whole] = A.applyChanges(A.init(), changes);
  const hex = changes.map((change) => Buffer.from(change).toString("hex"));
  console.log(JSON.stringify({ seed, changes: hex, heads: A.getHeads(whole).sort(), text: String(whole.text) }));
}
