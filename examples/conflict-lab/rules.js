/** The rules that can be picked for each field of the lab, and what is picked now. */

import { customRule, first, human, latest, max, min, order, policy, reject, sumDeltas } from "@rejoin/client";

const PEOPLE = { "People decide": human };
const ROW = { ...PEOPLE, "The later change": latest, "The earlier change": first, "As it was before": reject };
const NUMBER = { ...PEOPLE, "Add up the differences": sumDeltas, "The larger number": max, "The smaller number": min, "The later number": latest };
const smallerStep = () => customRule({ name: "smallerStep", version: 1, module: new URL("smaller-step.js", import.meta.url) });

/** Fields by the table that they stand in: their pattern, what people call them, and the rules that make sense there. */
const FIELDS = {
  Stock: [
    { pattern: "stock/*/quantity", name: "On shelf", rules: { ...NUMBER, "The smaller step (a rule of this page)": smallerStep } },
    { pattern: "stock/*/sold", name: "Sold", rules: NUMBER },
    { pattern: "stock/*", name: "Whole item", rules: ROW },
  ],
  Orders: [
    { pattern: "orders/*/pieces", name: "Pieces", rules: NUMBER },
    {
      pattern: "orders/*/status",
      name: "Status",
      rules: { ...PEOPLE, "Whichever is further on": () => order("draft", "paid", "shipped"), "The later change": latest, "As it was before": reject },
    },
    { pattern: "orders/*", name: "Whole order", rules: ROW },
  ],
};

/** Shows a choice for each field; calls `changed` with the policies now, and whenever another is picked, which it says. */
export function showRules(place, changed) {
  const choices = [];
  const policies = () => choices.map(({ select, pattern, rules }) => policy(pattern, rules[select.value]()));
  for (const [table, fields] of Object.entries(FIELDS)) {
    const group = document.createElement("fieldset");
    group.append(Object.assign(document.createElement("legend"), { textContent: table }));
    for (const { name, pattern, rules } of fields) {
      const label = document.createElement("label");
      const select = document.createElement("select");
      select.append(...Object.keys(rules).map((words) => new Option(words)));
      select.addEventListener("change", () => changed(policies(), true));
      label.append(name, select);
      group.append(label);
      choices.push({ select, pattern, rules });
    }
    place.append(group);
  }
  changed(policies(), false);
}
