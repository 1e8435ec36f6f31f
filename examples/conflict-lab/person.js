/** One person on the page: a device of their own, its network, the shop as it shows there, and their inbox. */

import { connect, Counter, Text } from "@rejoin/client";
import "@rejoin/client/conflicts";

import { Table } from "./table.js";

/** What hangs at the door, and the words of it that lead somewhere. */
const NOTICE = "Open daily from 9. See our prices before you come.";
const PRICES = "our prices";

/** How long the server may take before the page says that it can't be reached. */
const TOGETHER_MS_MAX = 10_000;

export class Person {
  #client;
  #shop;
  #archive;
  #stock;
  #orders;

  constructor(name) {
    this.name = name;
    this.element = document.querySelector("#pane").content.firstElementChild.cloneNode(true);
    this.element.setAttribute("aria-label", name);
    this.element.dataset.who = name.toLowerCase();
    this.#find(".name").textContent = name;
    this.#find(".face").textContent = name[0];
  }

  /** Opens the shop of this name, and fills it if it is new. */
  async open(url, room) {
    this.#client = await connect(url, { store: `lab-${this.name.toLowerCase()}-${room}`, author: this.name });
    this.#shop = await this.#client.open(`lab/${room}`, { init: { stock: {}, orders: {} } });
    this.#archive = await this.#client.open(`archive/${room}`);
    if (this.name === "Ann" && Object.keys(this.#shop.value.stock).length === 0) this.#shop.change(fill);
    this.#listen();
    this.#showShop();
    this.#showInbox();
  }

  /** Rules that somebody picked are declared: whoever has the shop open elsewhere, with other ones, sees that. */
  setPolicies(policies, arePicked) {
    this.#shop.conflicts.setPolicies(policies);
    if (arePicked) void this.#shop.conflicts.declare();
    this.#showShop();
  }

  setOnline(isOnline) {
    this.#find(".switch input").checked = isOnline;
    if (isOnline) this.#client.goOnline();
    else this.#client.goOffline();
  }

  /** What the shop holds, to be compared. */
  get shown() {
    return JSON.stringify(this.#shop.value);
  }

  /** Puts back what a scene needs, where somebody has removed it. */
  restock() {
    this.#shop.change(fill);
  }

  /** Waits until the server has everything of this device, and `reached` holds. */
  async together(reached = () => true) {
    let stop;
    let late;
    await new Promise((resolve, reject) => {
      late = setTimeout(() => reject(new Error("The server can’t be reached.")), TOGETHER_MS_MAX);
      stop = this.#shop.subscribe(({ status }) => {
        if (status.state === "synced" && reached()) resolve();
      });
    }).finally(() => {
      clearTimeout(late);
      stop();
    });
  }

  setQuantity(key, quantity) {
    this.#edit(({ stock }) => void (stock[key].quantity = quantity));
  }

  sell(key) {
    this.#edit(({ stock }) => stock[key].sold.increment());
  }

  zero(key) {
    this.#edit(({ stock }) => void (stock[key].sold = new Counter()));
  }

  addItem(name, quantity = 0) {
    const key = name.toLowerCase();
    this.#edit(({ stock }) => void (stock[key] = { name, quantity, sold: new Counter() }));
  }

  removeItem(key) {
    this.#edit(({ stock }) => delete stock[key]);
  }

  setPieces(key, pieces) {
    this.#edit(({ orders }) => void (orders[key].pieces = pieces));
  }

  addPieces(key, more) {
    this.#edit(({ orders }) => void (orders[key].pieces += more));
  }

  setStatus(key, status) {
    this.#edit(({ orders }) => void (orders[key].status = status));
  }

  removeOrder(key) {
    this.#edit(({ orders }) => delete orders[key]);
  }

  /** Where the words on the notice lead; nowhere without an address. */
  linkPrices(to) {
    this.#edit(({ notice }) => {
      const from = String(notice).indexOf(PRICES);
      if (from < 0) return;
      if (to) notice.mark(from, from + PRICES.length, "link", to);
      else notice.unmark(from, from + PRICES.length, "link");
    });
  }

  writeArchive(note) {
    this.#archive.change((draft) => void (draft.note = note));
  }

  #edit(write) {
    this.#shop.change(write);
  }

  #listen() {
    this.#find(".switch input").addEventListener("change", ({ target }) => this.setOnline(target.checked));
    this.#stock = new Table(this.#find(".stock tbody"), document.querySelector("#item"), (key, row) => {
      row.querySelector(".number").addEventListener("change", ({ target }) => this.setQuantity(key, target.valueAsNumber || 0));
      row.querySelector(".sell").addEventListener("click", () => this.sell(key));
      row.querySelector(".zero").addEventListener("click", () => this.zero(key));
      row.querySelector(".remove").addEventListener("click", () => this.removeItem(key));
    });
    this.#orders = new Table(this.#find(".orders tbody"), document.querySelector("#order"), (key, row) => {
      row.querySelector(".number").addEventListener("change", ({ target }) => this.setPieces(key, target.valueAsNumber || 0));
      row.querySelector("select").addEventListener("change", ({ target }) => this.setStatus(key, target.value));
      row.querySelector(".remove").addEventListener("click", () => this.removeOrder(key));
    });
    this.#find(".add").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = event.target.elements.name;
      if (field.value.trim()) this.addItem(field.value.trim());
      field.value = "";
    });
    this.#find(".leads input").addEventListener("change", ({ target }) => this.linkPrices(target.value.trim()));
    this.#find(".archive").addEventListener("change", ({ target }) => this.writeArchive(target.value));
    this.#shop.subscribe(() => this.#showShop());
    this.#shop.conflicts.subscribe(() => this.#showShop());
    this.#archive.subscribe(({ value }) => {
      if (this.#find(".archive") !== document.activeElement) this.#find(".archive").value = value.note ?? "The shop opened on 3 March.";
    });
    this.#client.subscribe((status) => this.#showStatus(status));
  }

  /** The tables, with what rules answer. */
  #showShop() {
    const { conflicts, value } = this.#shop;
    const { stock, orders } = conflicts.project(value);
    const listed = conflicts.list();
    this.#stock.show("stock", stock, value.stock, listed, (row, item) => {
      row.field(".number", item.quantity, "quantity");
      row.field(".sold", item.sold, "sold");
    });
    this.#orders.show("orders", orders, value.orders, listed, (row, order) => {
      row.field(".number", order.pieces, "pieces");
      row.field("select", order.status, "status");
    });
    this.#showNotice(listed);
  }

  #showNotice(listed) {
    const text = String(this.#shop.value.notice ?? "");
    const links = this.#shop.value.notice === undefined ? [] : this.#shop.marks(["notice"]).filter(({ name }) => name === "link");
    const place = this.#find(".door");
    place.replaceChildren();
    let at = 0;
    for (const { from, to, value } of links) {
      place.append(text.slice(at, from), Object.assign(document.createElement("a"), { href: value, title: value, target: "_blank", rel: "noreferrer", textContent: text.slice(from, to) }));
      at = to;
    }
    place.append(text.slice(at));
    place.classList.toggle("disputed", listed.some(({ path, state }) => path[0] === "notice" && state === "open"));
    const field = this.#find(".leads input");
    if (field !== document.activeElement) field.value = links[0]?.value ?? "";
  }

  #showInbox() {
    const inbox = this.#find("rejoin-conflicts");
    inbox.places = ({ path, document, base }) => (document.startsWith("archive/") ? "Last year’s note" : placeWords(path, this.#shop.value, base));
    inbox.edit = () => this.#find(".archive").focus();
    inbox.documents = [this.#shop, this.#archive];
  }

  #showStatus({ state, pending, rejected, connected }) {
    const waiting = `${pending} ${pending === 1 ? "change" : "changes"} waiting`;
    let words = pending > 0 ? `Sending ${waiting.replace(" waiting", "")} …` : "Together with the others";
    if (!connected) words = pending > 0 ? `No network · ${waiting}` : "No network";
    else if (rejected > 0) words = `The server refused ${rejected} ${rejected === 1 ? "change" : "changes"}`;
    this.#find(".state-words").textContent = words;
    this.element.dataset.state = !connected ? "waiting" : state === "rejected" ? "trouble" : "server";
    this.element.classList.toggle("is-offline", !connected);
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }
}

/** What a shop begins with, where it is not there. */
function fill(shop) {
  const { stock, orders } = shop;
  shop.notice ??= new Text(NOTICE);
  stock.apples ??= { name: "Apples", quantity: 10, sold: new Counter(5) };
  stock.pears ??= { name: "Pears", quantity: 6, sold: new Counter(2) };
  orders.dee ??= { who: "Dee", pieces: 2, status: "draft" };
  orders.eli ??= { who: "Eli", pieces: 5, status: "draft" };
}

const FIELDS = { quantity: "on shelf", sold: "sold", pieces: "pieces", status: "status" };

/** What is removed has its name in `base` alone. */
function placeWords([table, key, field], { stock, orders }, base) {
  if (table === "notice") return "Notice at the door";
  const name = table === "stock" ? (stock[key]?.name ?? base?.name ?? key) : `${orders[key]?.who ?? base?.who ?? key}’s order`;
  return [name, FIELDS[field]].filter(Boolean).join(" · ");
}
