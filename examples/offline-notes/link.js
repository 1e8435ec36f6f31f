/** The server between the devices, and the wire to each: what is cut, and what travels. */

import { travel } from "/shared/travel.js";

export class Link {
  #hub;
  #wires;
  #connected = new Set();

  constructor(element) {
    this.#hub = element.querySelector(".hub");
    this.#wires = [...element.querySelectorAll(".wire")];
  }

  /** The end of the wire to one device. */
  end(index) {
    return {
      connected: (isConnected) => {
        this.#wires[index].classList.toggle("is-cut", !isConnected);
        if (isConnected) this.#connected.add(index);
        else this.#connected.delete(index);
        this.#hub.classList.toggle("is-away", this.#connected.size === 0);
      },
      /** Changes went from the device to the server, which has them. */
      sent: (marks, count) => travel(marks, this.#hub, { count }),
      /** Changes of others came to the device. */
      brought: (state) => travel(this.#hub, state, { isSaved: true }),
    };
  }
}
