// The other side of bitmaps.js. Each task gives its result, and what of it moves to the page without a copy.

import { paint, readClassMap } from "./class-map.js";
import { leastCertain, paintSureness } from "./sureness.js";

const OVERVIEW_SIDE = 2048;

const maps = new Map(); // number → class map
let numbers = 0;

const tasks = {
  async openPicture({ blob }) {
    return levelsOf(await createImageBitmap(blob));
  },

  async makeThumbnail({ blob, height }) {
    const bitmap = await createImageBitmap(blob, { resizeHeight: height, resizeQuality: "medium" });
    return [bitmap, [bitmap]];
  },

  async readMap({ blob }) {
    const map = await readClassMap(blob);
    const number = ++numbers;
    maps.set(number, map);
    const ids = map.ids.slice();
    return [{ ...map, ids, number }, [ids.buffer]];
  },

  async paintMap({ number, shown, least }) {
    return levelsOf(await paint(maps.get(number), shown, least));
  },

  async readConfidence({ number, blob }) {
    const map = maps.get(number);
    map.confidence = (await readClassMap(blob)).ids; // a gray PNG is read as an indexed one
    return [leastCertain(map), []];
  },

  async paintConfidence({ number }) {
    return levelsOf(await paintSureness(maps.get(number)));
  },

  keepMap({ number }) {
    for (const other of maps.keys()) if (other !== number) maps.delete(other);
    return [null, []];
  },
};

addEventListener("message", async ({ data: { request, task, given } }) => {
  try {
    const [result, moved] = await tasks[task](given);
    postMessage({ request, result }, moved);
  } catch (fault) {
    postMessage({ request, fault: String(fault) });
  }
});

/** A bitmap, and a copy of it for when the whole is seen. */
async function levelsOf(whole) {
  const ratio = Math.min(1, OVERVIEW_SIDE / Math.max(whole.width, whole.height));
  const resizeWidth = Math.max(1, Math.round(whole.width * ratio));
  const overview = await createImageBitmap(whole, { resizeWidth, resizeQuality: "medium" });
  return [{ whole, overview }, [whole, overview]];
}
