/** Marks that travel: what one sees when a change goes from a device to the server and on. */

const CROSSING_MS = 650;
const APART_MS = 60;
/** Of more at once the others are let go unseen. */
const AT_ONCE_MAX = 12;

/**
 * Lets `count` marks go from one element to another, one behind the other; ends with the last. At once if there is nothing to see: the
 * reader wants no motion, or looks at another page.
 */
export async function travel(from, to, { count = 1, isSaved = false } = {}) {
  if (document.hidden || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const [start, end] = [middle(from), middle(to)];
  if (!start || !end) return;
  const crossings = Array.from({ length: Math.min(count, AT_ONCE_MAX) }, async (_, index) => {
    const mark = document.createElement("i");
    mark.className = isSaved ? "mark-travels saved" : "mark-travels";
    document.body.append(mark);
    const bend = { x: (start.x + end.x) / 2, y: Math.min(start.y, end.y) - 28 };
    const frames = [start, bend, end].map(({ x, y }, at) => ({ translate: `${x}px ${y}px`, opacity: at === 2 ? 0.3 : 1 }));
    const timing = { duration: CROSSING_MS, delay: index * APART_MS, easing: "ease-in-out", fill: "backwards" };
    await mark.animate(frames, timing).finished.catch(() => {});
    mark.remove();
  });
  await Promise.all(crossings);
}

function middle(element) {
  const { x, y, width, height } = element.getBoundingClientRect();
  return width === 0 && height === 0 ? undefined : { x: x + width / 2 - 5, y: y + height / 2 - 5 };
}
