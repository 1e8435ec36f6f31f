/** Where everything is, in words for people: which icon, which look, which sentence. */

export function changes(count) {
  return counted(count, "change");
}

export function counted(count, thing) {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}

/** `look` is one of `server`, `device`, `waiting` and `trouble`. */
export function inWords({ state, failure, pending, rejected, unsaved, loading, progress }) {
  const say = (look, icon, words) => ({ look, icon, words });
  if (failure === "store-newer") {
    const lost = unsaved > 0 ? `. ${changes(unsaved)} only here: copy what you need first` : "";
    return say("trouble", "triangle-alert", `A newer version of this page is open. Load this one again to go on${lost}`);
  }
  if (state === "failed") return say("trouble", "triangle-alert", "Something broke. Load the page again: what was saved is safe");
  if (state === "storage-full") {
    return say("trouble", "triangle-alert", `This device is full: ${changes(unsaved)} in memory only. Make room, and it is saved by itself`);
  }
  if (loading) {
    const share = progress === undefined ? "" : `, ${Math.floor(progress * 100)} %`;
    const waits = pending > 0 ? ` · ${changes(pending)} waiting` : "";
    return say("waiting", "hourglass", `As seen last · loading what is new${share}${waits}`);
  }
  if (rejected > 0) return say("trouble", "triangle-alert", `Refused: ${changes(rejected)}`);
  if (unsaved > 0) return say("waiting", "hourglass", "Saving on this device …");
  if (pending > 0) return say("waiting", "hard-drive", `Saved on this device · ${changes(pending)} waiting`);
  if (state === "synced") return say("server", "cloud-check", "Saved on the server");
  if (state === "rejected") return say("trouble", "triangle-alert", "The server does not give this device these notes");
  return say("device", "hard-drive", "Saved on this device");
}

/** What the parts of a note are called. */
export const FIELDS = { title: "title", body: "text", done: "done", likes: "hearts", tasks: "steps" };

/** What a place in a notebook is called: the note as it is now, or, if it is gone, as it was. */
export function placeWords([list, index, field], base, { notes = [] }) {
  if (list !== "notes" || index === undefined) return "All notes";
  const note = field === undefined ? (base ?? notes[index]) : notes[index];
  return [note?.title || "A note", FIELDS[field]].filter(Boolean).join(" · ");
}
