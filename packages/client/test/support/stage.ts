/** What most tests in a browser need: a web server, a browser and a sync server, started before a file's tests and removed after them. */

import { after, before } from "node:test";

import { Chromium } from "./browser.js";
import { SyncServer } from "./server.js";
import { Site } from "./site.js";

/** Started once the file's tests run. */
export class Stage {
  site!: Site;
  chromium!: Chromium;
  server!: SyncServer;

  constructor() {
    before(async () => {
      this.site = await Site.start();
      this.chromium = await Chromium.start();
      this.server = await SyncServer.start(this.site.origin);
    });
    after(async () => {
      await this.chromium?.remove();
      await this.server?.remove();
      await this.site?.stop();
    });
  }
}
