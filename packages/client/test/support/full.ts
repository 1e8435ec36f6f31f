/** A device that is full: what a page's origin may keep is bounded, and filled up. */

import type { Page } from "playwright-core";

/** What a page may keep. Bounded from the start: Chromium remembers for a while how much room there was. */
const ROOM = 4 << 20;

/**
 * Bounds what `origin` may keep in the page's context, and fills it up or lifts the bound. What is deleted makes room only for whoever is to
 * find room so.
 */
export async function tightStorage(page: Page, origin: string): Promise<(full: boolean, isForGood?: boolean) => Promise<void>> {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: ROOM });
  return async (full, isForGood = true) => {
    if (!full) return void (await devtools.send("Storage.overrideQuotaForOrigin", { origin }));
    await page.evaluate(async (room) => {
      const { fill } = (await import("/test/fill.js" as string)) as typeof import("../fill.js");
      await fill(room);
    }, ROOM);
    // Nor does what the browser tidies up later.
    if (isForGood) await devtools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1 });
  };
}
