/** The rules that can be picked for each field of the lab, and what is picked now. */

import { customRule, human, latest, max, min, order, policy, sumDeltas } from "@rejoin/client";

/** Fields by their pattern: what people call them, and the rules that make sense there. */
const FIELDS = [
  {
    pattern: "stock/*/quantity",
    name: "On shelf",
    rules: {
      "People decide": human,
      "Add up the differences": sumDeltas,
      "The larger count": max,
      "The smaller count": min,
      "The later count": latest,
      "The smaller step (a rule of this page)": () => customRule({ name: "smallerStep", version: 1, module: new URL("smaller-step.js", import.meta.url) }),
    },
  },
  {
    pattern: "orders/*/status",
    name: "Order status",
    rules: { "People decide": human, "Whichever is further on": () => order("draft", "paid", "shipped"), "The later change": latest },
  },
  { pattern: "orders/*/pieces", name: "Pieces", rules: { "People decide": human, "The larger number": max, "The later change": latest } },
];

/** Shows a choice for each field; calls `changed` with the policies now, and whenever another is picked, which it says. */
export function showRules(place, changed) {
  const policies = () =>
    [...place.querySelectorAll("select")].map((select, index) => {
      const { pattern, rules } = FIELDS[index];
      return policy(pattern, rules[select.value]());
    });
  for (const { name, rules } of FIELDS) {
    const label = document.createElement("label");
    const select = document.createElement("select");
    select.append(...Object.keys(rules).map((words) => new Option(words)));
    select.addEventListener("change", () => changed(policies(), true));
    label.append(name, select);
    place.append(label);
  }
  changed(policies(), false);
}
