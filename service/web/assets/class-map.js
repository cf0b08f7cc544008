// The class of every pixel, as the server's `png` answer holds it.
//
// One request a picture is enough: the PNG's bytes are the download, its pixel values the class ids, its palette their
// colours. The ids are read from the file itself and not off a canvas, which gives colours: two classes may share one, and
// browsers that guard against fingerprinting change them. `rle` would do as well, but of a busy picture it is many
// times larger.

const MAX_PAINTED_PIXELS = 16_000_000; // beyond it a bitmap for the screen costs more memory than it shows
const SIGNATURE = 8;

/** Read an indexed PNG of the server's: `{ width, height, ids, colors, counts }`, with a byte a pixel in `ids`. */
export async function readClassMap(blob) {
  const file = new DataView(await blob.arrayBuffer());
  const data = [];
  let width = 0;
  let height = 0;
  let palette = new Uint8Array();
  for (let at = SIGNATURE; at < file.byteLength;) {
    const size = file.getUint32(at);
    const kind = String.fromCharCode(...new Uint8Array(file.buffer, at + 4, 4));
    const body = new Uint8Array(file.buffer, at + 8, size);
    if (kind === "IHDR") [width, height] = [file.getUint32(at + 8), file.getUint32(at + 12)];
    if (kind === "PLTE") palette = body;
    if (kind === "IDAT") data.push(body);
    at += size + 12;
  }
  const inflated = new Blob(data).stream().pipeThrough(new DecompressionStream("deflate"));
  const ids = unfilter(new Uint8Array(await new Response(inflated).arrayBuffer()), width, height);
  return { width, height, ids, colors: hexColors(palette), counts: count(ids) };
}

/** The classes that occur as `[id, percent]`, the largest first; percents have one decimal and add to exactly 100. */
export function shares({ counts }) {
  const all = counts.reduce((sum, pixels) => sum + pixels, 0);
  const parts = [];
  counts.forEach((pixels, id) => {
    if (pixels > 0) parts.push({ id, pixels, tenths: Math.floor((1000 * pixels) / all) });
  });
  const rest = ({ pixels, tenths }) => (1000 * pixels) / all - tenths;
  const missing = 1000 - parts.reduce((sum, { tenths }) => sum + tenths, 0);
  for (const part of parts.toSorted((a, b) => rest(b) - rest(a)).slice(0, missing)) part.tenths += 1;
  return parts.toSorted((a, b) => b.pixels - a.pixels).map(({ id, tenths }) => [id, tenths / 10]);
}

/** A bitmap of the class colours. Classes that are not in `shown` are left transparent, null shows all; so are pixels whose
 * `confidence`, where the map has it, is below `least` of 1. */
export function paint({ width, height, ids, colors, confidence }, shown, least = 0) {
  const table = new Uint32Array(256);
  colors.forEach((color, id) => {
    if (shown === null || shown.has(id)) table[id] = abgr(color);
  });
  if (least === 0) return paintPixels({ width, height }, (place) => table[ids[place]]);
  const level = Math.ceil(255 * least - 1e-9);
  return paintPixels({ width, height }, (place) => (confidence[place] < level ? 0 : table[ids[place]]));
}

/** A bitmap of a picture's pixels, or of some of them where there are too many: `colorOf` a place as an ImageData holds it. */
export function paintPixels({ width, height }, colorOf) {
  const step = Math.ceil(Math.sqrt((width * height) / MAX_PAINTED_PIXELS));
  const image = new ImageData(Math.ceil(width / step), Math.ceil(height / step));
  const pixels = new Uint32Array(image.data.buffer);
  for (let y = 0, i = 0; y < height; y += step) {
    for (let x = 0; x < width; x += step, i += 1) pixels[i] = colorOf(y * width + x);
  }
  return createImageBitmap(image);
}

/** Undo the filter that each row begins with: none, or the difference to the row above; the server writes no other. */
function unfilter(rows, width, height) {
  const ids = new Uint8Array(width * height);
  for (let y = 0, from = 1, to = 0; y < height; y += 1, from += width + 1, to += width) {
    const filter = rows[from - 1];
    if (filter !== 0 && filter !== 2) throw new Error(`row ${y} of the class map has PNG filter ${filter}`);
    ids.set(rows.subarray(from, from + width), to);
    if (filter === 2 && y > 0) {
      for (let i = to; i < to + width; i += 1) ids[i] += ids[i - width];
    }
  }
  return ids;
}

function count(ids) {
  const counts = new Uint32Array(256);
  for (let i = 0; i < ids.length; i += 1) counts[ids[i]] += 1;
  return counts;
}

function hexColors(palette) {
  const hex = (value) => value.toString(16).padStart(2, "0");
  return Array.from(
    { length: palette.length / 3 },
    (_, id) => `#${[...palette.subarray(3 * id, 3 * id + 3)].map(hex).join("")}`,
  );
}

/** A colour as the little-endian number that an ImageData holds for it. */
export function abgr(color) {
  const rgb = Number.parseInt(color.slice(1), 16);
  return (0xff000000 | ((rgb & 0xff) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0;
}
