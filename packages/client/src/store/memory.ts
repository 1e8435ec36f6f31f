/** A store that lives as long as the page, for browsers that keep nothing. */

import { type LocalStore, type Row, TABLES, type Table, type Write } from "./store.js";

export class MemoryStore implements LocalStore {
  readonly durable = false;
  /** Rows by the hexadecimal form of their key, which sorts as the key does. */
  readonly #tables = new Map<Table, Map<string, Row>>(TABLES.map((table) => [table, new Map()]));

  async read(tables: readonly Table[], prefix: Uint8Array): Promise<Row[][]> {
    const start = hex(prefix);
    return tables.map((table) => {
      const keys = [...this.#rows(table).keys()].filter((key) => key.startsWith(start)).sort();
      return keys.map((key) => {
        const [bytes, value] = this.#rows(table).get(key) as Row;
        return [bytes.slice(), value.slice()];
      });
    });
  }

  async commit(writes: readonly Write[]): Promise<void> {
    for (const write of writes) {
      const rows = this.#rows(write.table);
      if (write.kind === "put") {
        rows.set(hex(write.key), [write.key.slice(), write.value.slice()]);
      } else if (write.kind === "delete") {
        rows.delete(hex(write.key));
      } else {
        const start = hex(write.prefix);
        for (const key of [...rows.keys()]) if (key.startsWith(start)) rows.delete(key);
      }
    }
  }

  close(): void {}

  #rows(table: Table): Map<string, Row> {
    return this.#tables.get(table) as Map<string, Row>;
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
