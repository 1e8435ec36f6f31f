/**
 * Keeps the pages on this device, so that they open without a network. Documents are none of its business.
 *
 * `VERSION` names all files together and `KEPT` lists them; whoever serves this puts both before it. One version is kept whole, and serves
 * until its reader asks for the next: files of two versions never meet on a page.
 */

const CACHE = `rejoin-pages-${VERSION}`;

self.addEventListener("install", (event) => {
  const fresh = KEPT.map((path) => new Request(path, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll([...fresh, "/config.json"])));
});

self.addEventListener("activate", (event) => {
  const drop = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith("rejoin-pages-") && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(drop());
});

/** The reader wants the new version. */
self.addEventListener("message", ({ data }) => {
  if (data === "update") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) return;
  const kept = () => caches.open(CACHE).then((cache) => cache.match(request, { ignoreSearch: true }));
  // Where the server is may change; the pages only with their version.
  if (pathname === "/config.json") return event.respondWith(fetch(request).catch(async () => (await kept()) ?? Response.error()));
  event.respondWith(kept().then((response) => response ?? fetch(request)));
});
