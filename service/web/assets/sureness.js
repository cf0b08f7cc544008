// What the page's worker makes of a confidence map: a bitmap, and the regions that the model is least sure of.

import { abgr, paintPixels } from "./class-map.js";

const RAMP = ["#fde725", "#fca636", "#e16462", "#b12a90", "#6a00a8", "#0d0887"]; // unsure to sure
const LEAST_SHOWN = 0.3; // below it all is the same yellow: hardly a pixel is less sure

const MAX_SAMPLES = 500_000;
const LEAST_SHARE = 0.002; // of the picture, of a region that is listed
const LISTED = 5;

/** A bitmap of `confidence`, a byte a pixel: from yellow, unsure, to dark blue. */
export function paintSureness({ width, height, confidence }) {
  const table = Uint32Array.from({ length: 256 }, (_, value) => abgr(colorAt(value / 255)));
  return paintPixels({ width, height }, (place) => table[confidence[place]]);
}

/** The connected regions of one class with the lowest mean confidence, the lowest first: `{ id, mean, x, y, width, height }`. */
export function leastCertain({ width, height, ids, confidence }) {
  const step = Math.ceil(Math.sqrt((width * height) / MAX_SAMPLES));
  const across = Math.ceil(width / step);
  const down = Math.ceil(height / step);
  const parents = new Int32Array(across * down);
  const root = (node) => {
    while (parents[node] !== node) node = parents[node] = parents[parents[node]];
    return node;
  };
  const placeOf = (node) => Math.floor(node / across) * step * width + (node % across) * step;
  for (let node = 0; node < parents.length; node += 1) {
    const id = ids[placeOf(node)];
    parents[node] = node;
    if (node % across > 0 && ids[placeOf(node - 1)] === id) parents[node] = root(node - 1);
    if (node >= across && ids[placeOf(node - across)] === id) {
      const [one, other] = [root(node), root(node - across)];
      parents[Math.max(one, other)] = Math.min(one, other);
    }
  }
  const regions = new Map();
  for (let node = 0; node < parents.length; node += 1) {
    const first = root(node);
    const [column, row] = [node % across, Math.floor(node / across)];
    const found = regions.get(first) ?? { node: first, count: 0, sum: 0, left: across, top: row, right: 0, bottom: 0 };
    found.count += 1;
    found.sum += confidence[placeOf(node)];
    found.left = Math.min(found.left, column);
    found.right = Math.max(found.right, column);
    found.bottom = row;
    regions.set(first, found);
  }
  return [...regions.values()]
    .filter(({ count }) => count >= LEAST_SHARE * parents.length)
    .map(({ node, count, sum, left, top, right, bottom }) => ({
      id: ids[placeOf(node)],
      mean: sum / count / 255,
      x: left * step,
      y: top * step,
      width: (right - left + 1) * step,
      height: (bottom - top + 1) * step,
    }))
    .sort((a, b) => a.mean - b.mean)
    .slice(0, LISTED);
}

function colorAt(confidence) {
  const at = ((Math.max(confidence, LEAST_SHOWN) - LEAST_SHOWN) / (1 - LEAST_SHOWN)) * (RAMP.length - 1);
  const [low, high] = [Math.floor(at), Math.ceil(at)].map((place) => Number.parseInt(RAMP[place].slice(1), 16));
  const mixed = [16, 8, 0].map((shift) => {
    const [from, to] = [(low >> shift) & 0xff, (high >> shift) & 0xff];
    return Math.round(from + (to - from) * (at % 1)) << shift;
  });
  return `#${(mixed[0] | mixed[1] | mixed[2]).toString(16).padStart(6, "0")}`;
}
