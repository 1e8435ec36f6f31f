/** A long text with a word in 300 places, and one change that replaces it in all of them. */

const LINES = 300;

/** 100,000 characters; `HERE` stands once, in the middle. */
export const LONG = Array.from({ length: LINES }, (_, n) => {
  const words = "lorem ipsum dolor sit amet ".repeat(12);
  return `${n === LINES / 2 ? words.replace("dolor sit", "dolor HERE sit") : words}alpha ${n}\n`;
}).join("");

export const REPLACED = LONG.replaceAll("alpha", "omega 😀 beta");

/** In a page: as an editor's "replace all" does. */
export function replaceAll(): void {
  globalThis.doc.change(({ body }) => {
    const text = String(body);
    for (let at = text.lastIndexOf("alpha"); at >= 0; at = text.lastIndexOf("alpha", at - 1)) body.splice(at, "alpha".length, "omega 😀 beta");
  });
}
