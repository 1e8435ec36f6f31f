/** A long document of which the server has a snapshot, and a slow line for who comes to it. */

import type { Page } from "playwright-core";

import { joinDocument, open, synced, write } from "./browser.js";
import { Line } from "./line.js";
import type { Stage } from "./stage.js";

/** Titles that a note had before: a newcomer has to get it, and sees nothing of it. So many changes have a snapshot. */
const FORGOTTEN = { changes: 1_200, characters: 400 };
const SLOW = { latenessMs: 0, bytesPerS: 60_000, cutAfter: [1e9, 1e9] } as const;

/** A page that has written a long document, which the server has a snapshot of: a note, and a text. It is offline. */
async function author(stage: Stage, name: string): Promise<Page> {
  const ann = await open(await stage.chromium.context(), stage.site.origin);
  await joinDocument(ann, stage.server.url, { name });
  await write(ann, "");
  await ann.evaluate(async ({ changes, characters }) => {
    const { doc } = globalThis;
    const retitle = (title: string) => doc.change((draft) => Object.assign(draft.notes[0] as object, { title }));
    doc.change((draft) => {
      draft.body.insert(0, "body");
      draft.body.mark(0, 4, "bold", true);
    });
    for (let n = 0; n < changes; n += 1) {
      retitle(Array.from({ length: characters }, () => Math.floor(Math.random() * 36).toString(36)).join(""));
      doc.commit();
    }
    await doc.acknowledged(retitle("written before"));
  }, FORGOTTEN);
  await synced(ann);
  await ann.evaluate(() => globalThis.client.goOffline());
  await stage.server.compact();
  return ann;
}

/** A long document, the page that wrote it, and a slow line for who comes to it. */
export async function onSlowLine(stage: Stage, name: string, come: (ann: Page, line: Line, name: string) => Promise<void>): Promise<void> {
  const ann = await author(stage, name);
  const line = await Line.open(stage.server.url, SLOW);
  try {
    await come(ann, line, name);
  } finally {
    await line.close();
  }
}
