/** Who is who: each device on this page knows its own authors, and tells the other. */

const names = new Map();

/** An author is one of `name`'s. What is shown already is then shown with the name. */
export function meet(actor, name) {
  if (names.has(actor)) return;
  names.set(actor, name);
  for (const inbox of document.querySelectorAll("rejoin-conflicts")) inbox.refresh();
}

/** Whose an author is; of those that this page does not know, nothing. */
export function nameOf({ actor }) {
  return names.get(actor);
}
