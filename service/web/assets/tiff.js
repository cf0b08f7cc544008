// What a TIFF's first directory says, read in small slices: the file may be larger than memory.

const WIDTH = 256;
const HEIGHT = 257;
const PLACES = [33922, 34264]; // ModelTiepoint, ModelTransformation
const GEO_KEYS = 34735; // which name the CRS
const MOST_ENTRIES = 512;

/** `{ width, height, isPlaced }` of a TIFF or BigTIFF, where `isPlaced` says that it lies on the Earth; null of any other file. */
export async function readTiff(file) {
  const head = await slice(file, 0, 16);
  if (head === null) return null;
  const mark = head.getUint16(0);
  const little = mark === 0x4949;
  if (!little && mark !== 0x4d4d) return null;
  const version = head.getUint16(2, little);
  if (version !== 42 && version !== 43) return null;
  const isBig = version === 43;
  const offset = isBig ? Number(head.getBigUint64(8, little)) : head.getUint32(4, little);
  const count = await slice(file, offset, isBig ? 8 : 2);
  if (count === null) return null;
  const entries = isBig ? Number(count.getBigUint64(0, little)) : count.getUint16(0, little);
  const size = isBig ? 20 : 12;
  const listed = Math.min(entries, MOST_ENTRIES);
  const table = await slice(file, offset + (isBig ? 8 : 2), listed * size);
  if (table === null) return null;
  const found = { width: 0, height: 0 };
  const tags = new Set();
  for (let place = 0; place < listed * size; place += size) {
    const tag = table.getUint16(place, little);
    if (tag === WIDTH) found.width = value(table, place, isBig, little);
    if (tag === HEIGHT) found.height = value(table, place, isBig, little);
    tags.add(tag);
  }
  return { ...found, isPlaced: tags.has(GEO_KEYS) && PLACES.some((tag) => tags.has(tag)) };
}

function value(table, place, isBig, little) {
  const isShort = table.getUint16(place + 2, little) === 3;
  const at = place + (isBig ? 12 : 8);
  return isShort ? table.getUint16(at, little) : table.getUint32(at, little);
}

/** A DataView of a part of the file; null where the file is shorter. */
async function slice(file, start, length) {
  const buffer = await file.slice(start, start + length).arrayBuffer();
  return buffer.byteLength === length ? new DataView(buffer) : null;
}
