/** Keeps the page itself on this device, so that it opens without a network. Documents are none of its business. */

const CACHE = "offline-notes-1";
const PAGE = ["/", "/style.css", "/app.js", "/pane.js", "/icon.svg", "/manifest.webmanifest", "/config.json"];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(PAGE)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(self.clients.claim());
});

/** From the network where there is one, so that a new version is seen at once; else what was kept. */
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== self.location.origin) return;
  event.respondWith(
    fetch(request)
      .then(async (response) => {
        if (response.ok) await caches.open(CACHE).then((cache) => cache.put(request, response.clone()));
        return response;
      })
      .catch(async () => (await caches.match(request)) ?? Response.error()),
  );
});
