/** How the inbox looks. Its colours and distances are custom properties, so that a page can give it its own. */

export const STYLE = `
:host {
  --ink: var(--rejoin-ink, light-dark(#24302c, #e6e9e4));
  --quiet: var(--rejoin-quiet, light-dark(#5d6b65, #9daba4));
  --card: var(--rejoin-card, light-dark(#fffdf8, #1f2425));
  --field: var(--rejoin-field, light-dark(#f1ede3, #272d2e));
  --line: var(--rejoin-line, light-dark(#dfd9cb, #353d3e));
  --accent: var(--rejoin-accent, light-dark(#2f6b57, #7cc4a6));
  --accent-soft: var(--rejoin-accent-soft, light-dark(#e0ece4, #22362f));
  --on-accent: var(--rejoin-on-accent, light-dark(#ffffff, #10221b));
  --warn: var(--rejoin-warn, light-dark(#8a5a00, #eab95a));
  --warn-soft: var(--rejoin-warn-soft, light-dark(#faecd0, #3a3020));
  --danger: var(--rejoin-danger, light-dark(#a5352a, #f0958a));
  --danger-soft: var(--rejoin-danger-soft, light-dark(#f8e1dc, #3e2724));
  --round: var(--rejoin-round, 0.7rem);
  display: block; color: var(--ink); font: inherit; text-align: start;
}
:host([hidden]) { display: none; }
* { box-sizing: border-box; }
h2, h3, p, ol, ul, dl, dd, blockquote { margin: 0; padding: 0; }
ol, ul { list-style: none; }
button { font: inherit; color: inherit; cursor: pointer; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }

.badge {
  display: inline-flex; align-items: center; gap: 0.5rem; min-height: 2.25rem; padding: 0.3rem 0.85rem;
  border: 1px solid var(--line); border-radius: 2rem; background: transparent; color: var(--quiet); font-size: 0.9rem;
}
.badge[data-open="true"] { border-color: transparent; background: var(--warn-soft); color: var(--warn); font-weight: 600; }
.badge svg { width: 1rem; height: 1rem; fill: none; stroke: currentcolor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
.inbox { margin-top: 0.75rem; container-type: inline-size; }
.inbox[hidden] { display: none; }
.said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.empty { padding: 1rem; border: 1px dashed var(--line); border-radius: var(--round); color: var(--quiet); text-align: center; }
.list { display: grid; gap: 0.75rem; }
.card { padding: 0.9rem; border: 1px solid var(--line); border-radius: var(--round); background: var(--card); border-inline-start: 4px solid var(--warn); }
.card[data-state="projected"] { border-inline-start-color: var(--accent); }
.card[data-state="settled"], .card[data-state="superseded"] { border-inline-start-color: var(--line); }
.card[data-kind="rejected"] { border-inline-start-color: var(--danger); }
.card-head { display: flex; flex-wrap: wrap; gap: 0.25rem 0.6rem; align-items: baseline; justify-content: space-between; }
h3 { font-size: 1rem; font-weight: 650; overflow-wrap: anywhere; }
.kind { color: var(--warn); font-size: 0.8rem; font-weight: 600; }
[data-state="projected"] .kind { color: var(--accent); }
[data-state="settled"] .kind, [data-state="superseded"] .kind { color: var(--quiet); }
[data-kind="rejected"] .kind { color: var(--danger); }
.story { margin-top: 0.15rem; color: var(--quiet); font-size: 0.92rem; }
.rule, .fault { margin-top: 0.6rem; padding: 0.45rem 0.7rem; border-radius: 0.5rem; background: var(--accent-soft); font-size: 0.9rem; }
.fault, .trouble { background: var(--danger-soft); color: var(--danger); }
.trouble { margin-top: 0.6rem; padding: 0.45rem 0.7rem; border-radius: 0.5rem; font-size: 0.9rem; }

.base { display: flex; gap: 0.6rem; align-items: baseline; margin-top: 0.6rem; font-size: 0.92rem; }
.quiet, .base .quiet { color: var(--quiet); }
.sides { display: grid; gap: 0.5rem; margin-top: 0.5rem; grid-template-columns: 1fr; }
@container (min-width: 17rem) { .sides { grid-template-columns: repeat(auto-fit, minmax(7.75rem, 1fr)); } }
[data-kind="mark"] .sides { grid-template-columns: repeat(auto-fit, minmax(min(100%, 12.5rem), 1fr)); }
[data-kind="mark"] .value > .text { font-size: 0.95rem; }
.side { display: flex; flex-direction: column; gap: 0.4rem; padding: 0.6rem; border-radius: 0.55rem; background: var(--field); min-width: 0; }
.who { display: flex; flex-wrap: wrap; gap: 0.15rem 0.45rem; align-items: baseline; font-size: 0.9rem; }
.who time { color: var(--quiet); font-size: 0.8rem; }
.tag { padding: 0 0.4rem; border-radius: 1rem; background: var(--accent-soft); color: var(--accent); font-size: 0.75rem; font-weight: 600; }
.value { flex: 1; overflow-wrap: anywhere; }
.value > .scalar, .value > .text { font-size: 1.1rem; font-weight: 600; }
.value > .text:has(ins, del) { font-size: 0.95rem; font-weight: 400; white-space: pre-wrap; }
.gone { color: var(--quiet); font-style: italic; }
.shown { align-self: start; color: var(--quiet); font-size: 0.78rem; }
.shown::before { content: "● "; color: var(--accent); }
ins { background: var(--accent-soft); color: inherit; text-decoration: underline; text-decoration-color: var(--accent); border-radius: 0.2rem; }
del { color: var(--danger); background: var(--danger-soft); border-radius: 0.2rem; }
.lines { font-size: 0.9rem; display: grid; gap: 0.1rem; }
.lines div { display: flex; gap: 0.5rem; justify-content: space-between; padding: 0 0.25rem; border-radius: 0.25rem; }
.lines dt { flex: none; color: var(--quiet); }
.lines dd { text-align: end; overflow-wrap: anywhere; }
.lines .other { background: var(--accent-soft); }
.lines .other dd { font-weight: 600; }

.answers { display: flex; flex-wrap: wrap; gap: 0.5rem; margin-top: 0.6rem; }
.card button {
  display: inline-flex; align-items: center; justify-content: center; gap: 0.5rem; min-height: 2.25rem; padding: 0.3rem 0.8rem;
  border: 1px solid var(--line); border-radius: 0.55rem; background: var(--card); font-size: 0.9rem; white-space: nowrap;
}
.card button:hover { border-color: var(--accent); }
.card button.pick { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; }
.card button.plain { background: transparent; color: var(--quiet); }
.card button.danger { background: transparent; color: var(--danger); }
kbd { padding: 0 0.35rem; border: 1px solid currentcolor; border-radius: 0.25rem; font: 600 0.7rem/1.3 ui-monospace, monospace; }
@media (pointer: coarse) { kbd { display: none; } }
.given { display: flex; gap: 0.5rem; align-items: end; }
.given input { flex: 1; min-width: 0; }
.card textarea, .card input, .edit {
  display: block; width: 100%; margin-top: 0.6rem; padding: 0.5rem 0.7rem; border: 1px solid var(--line); border-radius: 0.55rem;
  background: var(--field); color: inherit; font: inherit; resize: vertical;
}
.card textarea::placeholder { color: var(--quiet); }
.settled { margin-top: 0.5rem; }
blockquote { margin-top: 0.35rem; padding-inline-start: 0.7rem; border-inline-start: 2px solid var(--line); color: var(--quiet); font-size: 0.92rem; white-space: pre-wrap; }
details { margin-top: 0.9rem; }
summary { padding: 0.25rem 0; color: var(--quiet); font-size: 0.9rem; cursor: pointer; border-radius: 0.3rem; }
details .list { margin-top: 0.5rem; }
`;
