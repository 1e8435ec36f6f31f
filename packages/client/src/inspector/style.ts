/** How the inspector looks. It takes the colours of its page where that names them as the examples do, and has its own otherwise. */

export const STYLE = `
:host {
  --i-ink: var(--ink, light-dark(#1f2b27, #e9ece7)); --i-quiet: var(--quiet, light-dark(#59665f, #a3b0a9)); --i-line: var(--line, light-dark(#e0d9ca, #343c3c));
  --i-field: var(--field, light-dark(#f3efe6, #262c2c)); --i-green: var(--green, light-dark(#23614d, #82cbae)); --i-amber: var(--amber, light-dark(#7d4f00, #efc069));
  --i-red: var(--red, light-dark(#a1291f, #f59c91)); --i-on-green: var(--on-green, light-dark(#fff, #0d211a));
  display: block; color: var(--i-ink); font-size: 0.875rem; line-height: 1.5;
}
[hidden] { display: none !important; }
section { padding: 0.85rem 0; border-top: 1px solid var(--i-line); }
section:first-of-type { border-top: 0; padding-top: 0; }
h3, h4 { margin: 0 0 0.4rem; font-size: 0.8rem; font-weight: 650; color: var(--i-quiet); }
h4 { margin-top: 0.7rem; color: var(--i-ink); overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.15rem 0.9rem; margin: 0; }
dt { color: var(--i-quiet); }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.good { color: var(--i-green); font-weight: 600; }
.waits { color: var(--i-amber); font-weight: 600; }
.bad { color: var(--i-red); font-weight: 600; }
.quiet { color: var(--i-quiet); }
code { font: 0.8rem ui-monospace, "DejaVu Sans Mono", monospace; }
ul { list-style: none; margin: 0.25rem 0 0; padding: 0; }
li { display: flex; gap: 0.6rem; padding: 0.15rem 0; }
li > :last-child { margin-inline-start: auto; }
.frames { max-height: 14rem; overflow: auto; }
.frames li { font-variant-numeric: tabular-nums; }
.row { display: flex; flex-wrap: wrap; gap: 0.6rem 1.25rem; align-items: center; }
label { display: inline-flex; gap: 0.6rem; align-items: center; min-height: 2.5rem; cursor: pointer; }
input { appearance: none; position: relative; width: 2.75rem; height: 1.5rem; margin: 0; border-radius: 1rem; background: var(--i-quiet); cursor: pointer; transition: background 0.15s; }
input::after { content: ""; position: absolute; inset: 0.2rem auto 0.2rem 0.2rem; width: 1.1rem; border-radius: 50%; background: var(--card, light-dark(#fff, #1c2121)); transition: translate 0.15s; }
input:checked { background: var(--i-green); }
input:checked::after { translate: 1.25rem 0; }
button { min-height: 2.25rem; padding: 0 0.75rem; border: 1px solid currentcolor; border-radius: 0.75rem; background: transparent; color: var(--i-red); font: inherit; font-weight: 600; cursor: pointer; }
:focus-visible { outline: 2px solid var(--i-green); outline-offset: 2px; }
@media (prefers-reduced-motion: reduce) { * { transition: none !important; } }
`;
