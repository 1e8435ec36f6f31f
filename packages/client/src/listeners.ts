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

/** Calls a listener now, and adds it if it throws nothing; gives what ends that. It is a subscription of its own: one listener can have two. */
export function listen<T>(listeners: Set<(news: T) => void>, listener: (news: T) => void, news: T): () => void {
  const own = (news: T) => listener(news);
  listeners.add(own);
  const stop = () => void listeners.delete(own);
  try {
    own(news);
  } catch (error) {
    stop();
    throw error;
  }
  return stop;
}
