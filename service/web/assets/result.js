// The answer to take away: its format, the command line that fetches it, the download.

import { curlLine, segment } from "./api.js";
import { byId, copyText, element, save } from "./dom.js";

// From the server's own table: `name`, `title`, `description`, and the `ending` of its files, which no picture's name has.
const FORMATS = JSON.parse(byId("formats-table").textContent);

export class Result {
  constructor(parts) {
    Object.assign(this, parts);
    this.picture = null;
    this.model = null;
    this.alpha = 0.5;
    this.shown = [];
    this.least = 0;
    this.format = "png";
    for (const { name, title } of FORMATS) this.formats.append(this.#choice(name, title));
    this.onlyShown.addEventListener("change", () => this.#update());
    this.download.addEventListener("click", () => this.#download());
    this.copy.addEventListener("click", () => this.#copy());
    this.#update();
  }

  /** Take what changed of `{ picture, model, alpha, shown, least, canFilter }`; `shown` are the names of the classes chosen, if any, `least` the percentage below
   * which pixels are left out. */
  set(changes) {
    Object.assign(this, changes);
    this.#update();
  }

  get query() {
    const query = { model: this.model, format: this.format };
    if (this.format === "overlay") query.alpha = this.alpha;
    if (this.#isFiltered()) query.classes = this.shown.map(quoted).join(",");
    if (this.least > 0) query.min_confidence = this.least / 100;
    return query;
  }

  get #row() {
    return FORMATS.find(({ name }) => name === this.format);
  }

  #isFiltered() {
    return !this.onlyShownLabel.hidden && this.onlyShown.checked;
  }

  #choice(name, title) {
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
    return element("label", {}, radio, element("span", {}, title));
  }

  #update() {
    this.fault.hidden = true;
    this.onlyShownLabel.hidden = this.shown.length === 0 || !this.canFilter;
    this.onlyShownLabel.querySelector("span").textContent = `Only ${this.shown.join(", ")}`;
    this.text.textContent = this.#row.description;
    if (this.picture === null || this.model === null) return;
    this.curl.textContent = curlLine(this.picture, this.query, this.#fileName());
    this.download.disabled = this.picture.state !== "done";
  }

  #fileName() {
    return this.picture.name.replace(/\.[^.]*$/, "") + this.#row.ending;
  }

  async #download() {
    const { picture, query } = this;
    const name = this.#fileName();
    this.download.disabled = true;
    this.fault.hidden = true;
    try {
      const isHere = query.format === "png" && !this.#isFiltered() && this.least === 0;
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

/** A class's name as the option `classes` takes it among others. */
function quoted(name) {
  return /^\s|^"|,|\s$/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
}
