/** Uses up what the browser lets a page keep, in a database apart. Runs in the page. */

/** The last is smaller than any row of the package. */
const SIZES = [256 << 10, 16 << 10, 1 << 10, 64, 1];

/** Writes until the browser refuses even a small row. Throws if `bytesMax` go in. */
export async function fill(bytesMax: number): Promise<void> {
  const database = await new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(`filler-${Date.now()}`, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("filler", { autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  let written = 0;
  for (const size of SIZES) {
    while (await put(database, size)) {
      written += size;
      if (written > bytesMax) throw new Error(`${written} bytes went in`);
    }
  }
  database.close();
}

function put(database: IDBDatabase, size: number): Promise<boolean> {
  const transaction = database.transaction("filler", "readwrite");
  transaction.objectStore("filler").put(crypto.getRandomValues(new Uint8Array(Math.min(size, 65_536))).buffer);
  for (let more = size; more > 65_536; more -= 65_536) {
    transaction.objectStore("filler").put(crypto.getRandomValues(new Uint8Array(65_536)).buffer);
  }
  return new Promise((resolve) => {
    transaction.oncomplete = () => resolve(true);
    transaction.onabort = () => resolve(false);
  });
}
