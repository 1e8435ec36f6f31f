/**
 * Disagreements that happen by themselves: each cuts networks, lets people edit, and brings them back.
 *
 * Owns what is played and how it is told. What follows is not played: it is what any two devices do.
 */

/** How long a step can be seen before the next. `?pace=0` in the page's address leaves no time, for tests. */
const PACE_MS = Number(new URLSearchParams(location.search).get("pace") ?? 900);

const FIRST_ITEM = "apples";
const FIRST_ORDER = "dee";

export const SCENES = [
  {
    name: "Same field",
    async play({ ann, bo, apart, tell }) {
      await apart(ann, bo);
      await tell(`${ann.name} counts 7 apples.`, () => ann.setQuantity(FIRST_ITEM, 7));
      await tell(`${bo.name} counts 12.`, () => bo.setQuantity(FIRST_ITEM, 12));
    },
    end: "Both have a network again. One count shows; the other is not lost, it waits below.",
  },
  {
    name: "Removed and changed",
    async play({ ann, bo, apart, tell }) {
      await apart(ann, bo);
      await tell(`${ann.name} needs one piece more for Dee.`, () => ann.addPieces(FIRST_ORDER, 1));
      await tell(`${bo.name} removes Dee’s order.`, () => bo.removeOrder(FIRST_ORDER));
    },
    end: "The order is gone, and with it an edit that nobody had seen. Bring it back, or let it go.",
  },
  {
    name: "Counted and overwritten",
    async play({ ann, bo, apart, tell }) {
      await apart(ann, bo);
      await tell(`${ann.name} sells three apples.`, () => {
        for (let sold = 0; sold < 3; sold += 1) ann.sell(FIRST_ITEM);
      });
      await tell(`${bo.name} begins a new day: sold is 0.`, () => bo.zero(FIRST_ITEM));
    },
    end: "Three sales went into a counter that is no more. They are kept below.",
  },
  {
    name: "Made twice",
    async play({ ann, bo, apart, tell }) {
      await apart(ann, bo);
      await tell(`${ann.name} adds plums: 4 on the shelf.`, () => ann.addItem("Plums", 4));
      await tell(`${bo.name} adds plums too: 9.`, () => bo.addItem("Plums", 9));
    },
    end: "Two plums were made, and one hides the other.",
  },
  {
    name: "Paid or shipped",
    async play({ ann, bo, apart, tell }) {
      await apart(ann, bo);
      await tell(`${ann.name} marks Eli’s order as paid.`, () => ann.setStatus("eli", "paid"));
      await tell(`${bo.name} marks it as shipped.`, () => bo.setStatus("eli", "shipped"));
    },
    end: "Under “Who decides” a rule can answer this for everybody: whichever is further on.",
  },
  {
    name: "Two links",
    async play({ ann, bo, apart, tell }) {
      await apart(ann, bo);
      await tell(`${ann.name} links “our prices” on the notice to the spring list.`, () => ann.linkPrices("https://shop.example/spring"));
      await tell(`${bo.name} links it to the summer list.`, () => bo.linkPrices("https://shop.example/summer"));
    },
    end: "Words lead to one place only. The other link waits below: pick it, none, or write another.",
  },
  {
    name: "Refused by the server",
    async play({ ann, apart, tell }) {
      await apart(ann);
      await tell(`${ann.name} changes last year’s note, which the server has closed.`, () => ann.writeArchive("Stocktaking moved to May"));
    },
    end: "The server will not have it. It stays with Ann, who can try again, save a copy or let it go.",
  },
];

/** Shows a button for each scene, which plays it with the first of these people. */
export function showScenes(place, story, people) {
  const [ann, bo] = people;
  const tell = async (words, act) => {
    story.textContent = words;
    act?.();
    await new Promise((resolve) => setTimeout(resolve, PACE_MS));
  };
  const apart = (...who) => tell(`${who.map(({ name }) => name).join(" and ")} ${who.length > 1 ? "have" : "has"} no network.`, () => who.forEach((person) => person.setOnline(false)));
  const buttons = SCENES.map(({ name, play, end }) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
    button.addEventListener("click", async () => {
      for (const each of buttons) each.disabled = true;
      try {
        for (const person of people) person.setOnline(true);
        await ann.together();
        ann.restock();
        await ann.together();
        for (const person of people) await person.together(() => person.shown === ann.shown);
        await play({ ann, bo, apart, tell });
        for (const person of people) person.setOnline(true);
        story.textContent = end;
      } catch (error) {
        story.textContent = error.message;
      } finally {
        for (const each of buttons) each.disabled = false;
        button.focus();
      }
    });
    return button;
  });
  place.append(...buttons);
}
