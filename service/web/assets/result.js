// The answer to take away: its format, the command line that fetches it, the download.

import { curlLine, segment } from "./api.js";
import { copyText, element, save } from "./dom.js";

const FORMATS = {
  png: {
    label: "PNG",
    extension: "png",
    text: "Indexed PNG: a pixel's value is its class id, the palette holds the colours.",
  },
  overlay: {
    label: "Overlay",
    extension: "overlay.png",
    text: "The picture under its classes, at the opacity set here.",
  },
  rle: {
    label: "JSON",
    extension: "json",
    text: "Run lengths of the class map, and the pixels and share of each class.",
  },
  polygons: {
    label: "Polygons",
    extension: "geojson",
    text: "GeoJSON: a polygon with its holes for each connected region.",
  },
  coco: {
    label: "COCO",
    extension: "coco.json",
    text: "A COCO dataset of one image, as pycocotools reads it.",
  },
  confidence: {
    label: "Confidence",
    extension: "confidence.png",
    text: "Gray PNG: how sure the model is of each pixel.",
  },
  npz: { label: "NumPy", extension: "npz", text: "The class map as an array, for numpy.load." },
};

export class Result {
  constructor(parts) {
    Object.assign(this, parts);
    this.picture = null;
    this.model = null;
    this.alpha = 0.5;
    this.shown = [];
    this.format = "png";
    for (const [name, { label }] of Object.entries(FORMATS)) this.formats.append(this.#choice(name, label));
    this.onlyShown.addEventListener("change", () => this.#update());
    this.download.addEventListener("click", () => this.#download());
    this.copy.addEventListener("click", () => this.#copy());
    this.#update();
  }

  /** Take what changed of `{ picture, model, alpha, shown, canFilter }`; `shown` are the names of the classes chosen, if any. */
  set(changes) {
    Object.assign(this, changes);
    this.#update();
  }

  get query() {
    const query = { model: this.model, format: this.format };
    if (this.format === "overlay") query.alpha = this.alpha;
    if (this.#isFiltered()) query.classes = this.shown.join(",");
    return query;
  }

  #isFiltered() {
    return !this.onlyShownLabel.hidden && this.onlyShown.checked;
  }

  #choice(name, label) {
    const radio = element("input", {
      type: "radio",
      name: "format",
      value: name,
      checked: name === this.format,
    });
    radio.addEventListener("change", () => {
      this.format = name;
      this.#update();
    });
    return element("label", {}, radio, element("span", {}, label));
  }

  #update() {
    this.fault.hidden = true;
    this.onlyShownLabel.hidden = this.shown.length === 0 || !this.canFilter;
    this.onlyShownLabel.querySelector("span").textContent = `Only ${this.shown.join(", ")}`;
    this.text.textContent = FORMATS[this.format].text;
    if (this.picture === null || this.model === null) return;
    this.curl.textContent = curlLine(this.picture, this.query, this.#fileName());
    this.download.disabled = this.picture.state !== "done";
  }

  #fileName() {
    return `${this.picture.name.replace(/\.[^.]*$/, "")}.${FORMATS[this.format].extension}`;
  }

  async #download() {
    const { picture, query } = this;
    const name = this.#fileName();
    this.download.disabled = true;
    this.fault.hidden = true;
    try {
      const isHere = query.format === "png" && !this.#isFiltered();
      save(isHere ? picture.answer.blob : (await segment(picture.file, picture.name, query)).blob, name);
    } catch (problem) {
      this.fault.textContent = problem.message;
      this.fault.hidden = false;
    } finally {
      this.download.disabled = this.picture?.state !== "done";
    }
  }

  async #copy() {
    await copyText(this.curl);
    this.copy.textContent = "Copied";
    setTimeout(() => (this.copy.textContent = "Copy"), 2000);
  }
}
