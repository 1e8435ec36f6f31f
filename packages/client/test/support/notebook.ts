/** The page "Offline notes" as its tests use it: two devices, their notes, and what is said of them. */

import type { Locator, Page } from "playwright-core";

import type { Demo } from "./demo.js";

export function device(page: Page, name: "Ann’s laptop" | "Bo’s phone"): Locator {
  return page.getByRole("region", { name });
}

export async function add(pane: Locator, title: string): Promise<void> {
  await pane.getByLabel("New note").fill(title);
  await pane.getByRole("button", { name: "Add" }).click();
}

/** Waits until the pane says `words`. */
export async function says(pane: Locator, words: string): Promise<void> {
  await pane.getByRole("status").filter({ hasText: words }).waitFor();
}

/** Waits until the pane shows `count` notes; gives their titles. */
export async function notes(pane: Locator, count: number): Promise<string[]> {
  await pane.locator(".note").nth(count - 1).waitFor();
  return pane.locator(".note .title").evaluateAll((fields) => fields.map((field) => (field as HTMLInputElement).value).toSorted());
}

/** The texts of a pane's notes, once their editors are there. */
export function texts(pane: Locator): Locator {
  return pane.getByRole("textbox", { name: "Text", exact: true });
}

/** Both devices on a new page in a browser of their own. */
export async function both(demo: Demo, document?: string): Promise<{ page: Page; ann: Locator; bo: Locator }> {
  const page = await demo.page("/notes/", { document });
  const [ann, bo] = [device(page, "Ann’s laptop"), device(page, "Bo’s phone")];
  await says(ann, "Saved on the server");
  await says(bo, "Saved on the server");
  return { page, ann, bo };
}

/** Both devices, and a note of this title that Ann has written and Bo sees. */
export async function bothWith(demo: Demo, title: string, document?: string): Promise<{ page: Page; ann: Locator; bo: Locator }> {
  const devices = await both(demo, document);
  await add(devices.ann, title);
  await notes(devices.bo, 1);
  return devices;
}
