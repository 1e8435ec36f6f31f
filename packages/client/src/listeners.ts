/** Calling those who listen. */

/** Calls each listener; what one of them throws is reported as the page's error and keeps nothing from the others. */
export function callAll<T>(listeners: ReadonlySet<(news: T) => void>, news: T): void {
  for (const listener of listeners) {
    try {
      listener(news);
    } catch (error) {
      reportError(error);
    }
  }
}
