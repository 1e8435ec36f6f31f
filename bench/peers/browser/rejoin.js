// A document of Rejoin in a page.

import { connect } from "/client/index.js";

export async function open(url, name) {
  const client = await connect(url, { store: "bench" });
  const document = await client.open(name);
  return {
    read: () => document.value.text ?? "",
    insert: (at, text) => {
      document.change((draft) => draft.text.insert(at, text));
      document.commit();
    },
    subscribe: (heard) => document.subscribe(heard),
    // The text is there before its history is.
    isWhole: () => !document.status.loading && document.status.state !== "syncing",
  };
}
