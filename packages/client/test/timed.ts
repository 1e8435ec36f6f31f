/** A test that ends: what it waits for in a page may never come, and nothing else would end it. */

import { test as untimed, type TestContext } from "node:test";

/** The slowest take 20 s on two quiet cores. */
const TIMEOUT_MS = 180_000;

export function test(name: string, body: (context: TestContext) => void | Promise<void>): void {
  void untimed(name, { timeout: TIMEOUT_MS }, body);
}
