// How sure the model is of the picture that is shown: a layer, a least confidence, the regions it is least sure of, and a
// word where the picture is unlike the model's own. The confidence map is fetched when one of them is first asked for.

import { segment } from "./api.js";
import { paintConfidence, paintMap, readConfidence } from "./bitmaps.js";
import { element, swatch } from "./dom.js";

const REASONS = {
  brightness: "its brightness",
  contrast: "its contrast",
  color: "how colourful it is",
  vertical: "where it is light and dark, above and below",
  horizontal: "where it is light and dark, left and right",
  detail: "how much detail it has",
  long_side: "its size",
  confidence: "how unsure the model is of it",
  class_shift: "which classes are found in it",
};

export class Confidence {
  /** `changes()` is called when the classes are to be painted anew, `looksAt(box)` when a region is chosen. */
  constructor(parts, { changes, looksAt }) {
    Object.assign(this, parts, { changes, looksAt });
    this.#forget();
    this.least.addEventListener("input", () => this.#setLeast(Number(this.least.value)));
    this.layer.addEventListener("change", () => this.changes());
    this.regions.addEventListener("toggle", () => this.#listRegions());
  }

  /** Of 0 to 100, that below which pixels are left out. */
  get leastPercent() {
    return Number(this.least.value);
  }

  /** Begin with a picture's answer and the class map in it; `describe(id)` gives `{ name, color }`. */
  show(picture, answer, map, describe) {
    this.#forget();
    Object.assign(this, { picture, answer, map, describe });
    const { confidence, atypical, reasons } = answer;
    this.mean.textContent = confidence === null ? "" : `${(100 * confidence).toFixed(0)} %`;
    this.atypical.hidden = !(atypical > 1);
    const why = reasons.map((reason) => REASONS[reason] ?? reason).join("; ");
    this.atypical.textContent = `This picture is unlike those that the model was made on (${why}). Look twice at its classes.`;
    this.#listRegions();
  }

  /** The bitmaps to lay over the picture: classes that are shown and sure enough, or how sure each pixel is. */
  async paint(map, shown) {
    const isAsked = this.leastPercent > 0 || this.layer.checked;
    if (!isAsked || !(await this.#load(map))) return paintMap(map, shown);
    return this.layer.checked ? paintConfidence(map) : paintMap(map, shown, this.leastPercent / 100);
  }

  #forget() {
    Object.assign(this, { picture: null, answer: null, map: null, loading: null });
    this.list.replaceChildren();
    this.fault.hidden = true;
  }

  #setLeast(percent) {
    this.leastValue.value = percent === 0 ? "off" : `${percent} %`;
    this.changes();
  }

  /** Fetch and read the confidence map, once. False where that failed; the reason is said. */
  #load(map) {
    if (map !== this.map) return Promise.resolve(false);
    this.loading ??= this.#fetch();
    return this.loading;
  }

  async #fetch() {
    const { picture, answer, map } = this;
    try {
      const query = { model: answer.model, format: "confidence" };
      const { blob } = await segment(picture.file, picture.name, query);
      if (map !== this.map) return false;
      this.found = await readConfidence(map, blob);
      return map === this.map;
    } catch (problem) {
      if (map === this.map) {
        this.fault.textContent = problem.message;
        this.fault.hidden = false;
        this.loading = null;
      }
      return false;
    }
  }

  async #listRegions() {
    const { map } = this;
    if (!this.regions.open || map === null || !(await this.#load(map))) return;
    this.list.replaceChildren(...this.found.map((region) => element("li", {}, this.#row(region))));
    this.none.hidden = this.found.length > 0;
  }

  #row(region) {
    const { name, color } = this.describe(region.id);
    const sure = element("span", { className: "share" }, `${(100 * region.mean).toFixed(0)} %`);
    const row = element(
      "button",
      { type: "button" },
      swatch(color),
      element("span", { className: "name" }, name),
      sure,
    );
    row.addEventListener("click", () => this.looksAt(region));
    return row;
  }
}
