/** The worker that has the documents: nothing but a host at the end of its own port. */

import { serve } from "./host.js";

serve(globalThis as unknown as Parameters<typeof serve>[0]);
