/** Registers the service worker, and shows a bar when a new version of the pages waits for the reader's word. */

import { icon } from "./icons.js";

/** Called once by each page. Where there are no service workers the page works all the same, as long as it is served. */
export async function keepOnDevice() {
  const container = navigator.serviceWorker;
  if (!container) return;
  let asked = false;
  container.addEventListener("controllerchange", () => asked && location.reload());
  try {
    const registration = await container.register("/sw.js");
    const look = () => {
      // The first one has nothing to take the place of.
      if (registration.waiting && container.controller) offer(() => {
        asked = true;
        registration.waiting?.postMessage("update");
      });
    };
    look();
    registration.addEventListener("updatefound", () => {
      registration.installing?.addEventListener("statechange", look);
    });
  } catch (error) {
    console.warn(error);
  }
}

function offer(update) {
  if (document.querySelector(".update")) return;
  const bar = document.createElement("div");
  bar.className = "update notice";
  bar.setAttribute("role", "status");
  const words = document.createElement("span");
  words.textContent = "A new version is ready. Your notes stay where they are.";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button small";
  button.textContent = "Load it";
  button.addEventListener("click", update);
  bar.append(icon("refresh-cw"), words, button);
  document.body.prepend(bar);
}
