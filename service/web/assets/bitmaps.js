// Bitmaps of pictures and class maps, made by a worker: those of a large photograph take a second, in which the page
// is to move as ever.

const waiting = new Map(); // request → what settles its promise
let worker = begin(); // null once it could not be loaded
let requests = 0;

/** A picture's file as `{ whole, overview }`. Rejected where the browser cannot decode it. */
export const openPicture = (blob) => ask("openPicture", { blob });

export const makeThumbnail = (blob, height) => ask("makeThumbnail", { blob, height });

/** What `readClassMap` gives, with the `number` by which it is painted. */
export const readMap = (blob) => ask("readMap", { blob });

/** The class colours as `{ whole, overview }`; classes that are not in `shown` are transparent, null shows all, and so are pixels
 * that are less sure than `least` of 1, for which `readConfidence` is asked before. */
export const paintMap = ({ number }, shown, least = 0) => ask("paintMap", { number, shown, least });

/** Keep the confidence of a class map's pixels beside it. Gives its least certain regions, see `leastCertain`. */
export const readConfidence = ({ number }, blob) => ask("readConfidence", { number, blob });

/** How sure each pixel is as `{ whole, overview }`: what is unsure is bright. */
export const paintConfidence = ({ number }) => ask("paintConfidence", { number });

/** Give back the memory of all other class maps. */
export const keepMap = ({ number }) => ask("keepMap", { number });

export function close(levels) {
  levels?.whole.close();
  levels?.overview.close();
}

function begin() {
  const begun = new Worker(new URL("bitmaps-worker.js", import.meta.url), { type: "module" });
  begun.addEventListener("message", ({ data: { request, result, fault } }) => {
    const { resolve, reject } = waiting.get(request);
    waiting.delete(request);
    if (fault === undefined) resolve(result);
    else reject(new Error(fault));
  });
  begun.addEventListener("error", () => {
    worker = null;
    for (const { reject } of waiting.values()) reject(new Error("A part of the page could not be loaded."));
    waiting.clear();
  });
  return begun;
}

function ask(task, given) {
  worker ??= begin();
  const request = ++requests;
  return new Promise((resolve, reject) => {
    waiting.set(request, { resolve, reject });
    worker.postMessage({ request, task, given });
  });
}
