// Files that are too large for a request, and rasters that lie on the Earth: each becomes a job, with a card of its own.

import { ask, hasKey, Problem } from "./api.js";
import { byId, element, save, swatch } from "./dom.js";
import { readTiff } from "./tiff.js";
import { announce, send } from "./upload.js";

// From the server: `maxUploadBytes` of a request, `maxJobBytes` or null where it does no jobs, `maxPixels` of a picture, and the `mapFormats` that it writes.
const LIMITS = JSON.parse(byId("limits-table").textContent);
const POLL_MILLISECONDS = 1000;
const TITLES = { geotiff: "GeoTIFF", geojson: "GeoJSON", gpkg: "GeoPackage", png: "PNG", "aux.xml": "Class names (.aux.xml)" };
const MOST_AGAIN = 20; // jobs of an earlier visit that are shown

/** Which of the files become jobs, and which are pictures: `[jobs, pictures]`. */
export async function sortOut(files) {
  const jobs = [];
  const pictures = [];
  for (const file of files) {
    const format = LIMITS.maxJobBytes === null ? null : await formatOf(file);
    if (format === null) pictures.push(file);
    else jobs.push({ file, format });
  }
  return [jobs, pictures];
}

/** The format of the file's job; null where a request will do. */
async function formatOf(file) {
  const tiff = await readTiff(file).catch(() => null);
  const isLarge = file.size > LIMITS.maxUploadBytes || (tiff !== null && tiff.width * tiff.height > LIMITS.maxPixels);
  if (tiff?.isPlaced) return LIMITS.mapFormats.join(",");
  if (tiff !== null && isLarge) return "geotiff"; // GeoJSON is for what has a place on the Earth
  return isLarge ? "png" : null;
}

export class Jobs {
  /** `list` is where the cards go, in `section`; `model()` is the model that is chosen. */
  constructor(section, list, model) {
    Object.assign(this, { section, list, model });
  }

  /** Show the jobs of an earlier visit. */
  async resume() {
    if (LIMITS.maxJobBytes === null) return;
    const known = await ask(`jobs?limit=${MOST_AGAIN}`)
      .then((answer) => answer.json())
      .catch(() => ({ jobs: [] }));
    for (const job of known.jobs.reverse()) if (job.state !== "uploading") this.#card(job.file_name ?? job.id).follow(job.id);
  }

  add({ file, format }) {
    this.#card(file.name).begin(file, { model: this.model(), format });
  }

  #card(name) {
    const card = new Card(name, () => {
      card.root.remove();
      this.section.hidden = this.list.children.length === 0;
    });
    this.list.prepend(card.root);
    this.section.hidden = false;
    return card;
  }
}

class Card {
  constructor(name, removed) {
    this.name = name;
    this.removed = removed;
    this.id = null;
    this.ending = new AbortController();
    this.words = element("p", { className: "job-words", role: "status" });
    this.bar = element("progress", { max: 1, value: 0, ariaLabel: `Progress of ${name}` });
    this.button = element("button", { type: "button" }, "Cancel");
    this.button.addEventListener("click", () => this.#remove());
    this.body = element("div", { className: "job-result", hidden: true });
    const head = element("div", { className: "job-head" }, element("h3", {}, name), this.words, this.bar, this.button);
    this.root = element("li", { className: "job" }, head, this.body);
  }

  /** Send a file, and follow what becomes of it. */
  async begin(file, query) {
    const { signal } = this.ending;
    const started = performance.now();
    const tell = (sent) => {
      const rate = sent / (performance.now() - started);
      this.#progress("Uploading", sent / file.size, (file.size - sent) / rate / 1000);
    };
    try {
      this.#progress("Uploading", 0, null);
      this.id = await announce(file, file.name, query, signal);
      await send(this.id, file, tell, signal);
      await this.#follow();
    } catch (fault) {
      this.#fail(fault);
    }
  }

  /** Follow a job that is there already. */
  async follow(id) {
    this.id = id;
    await this.#follow().catch((fault) => this.#fail(fault));
  }

  async #follow() {
    const { signal } = this.ending;
    for (;;) {
      const job = await this.#ask(signal);
      if (job.state === "done") return this.#show(job);
      if (job.state === "failed") throw new Problem(job.problem.title, job.problem.detail, job.problem.status, null);
      this.#progress(stage(job), job.progress, job.seconds_left);
      await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
    }
  }

  /** The job; asked again while the server does not answer, for it goes on meanwhile. */
  async #ask(signal) {
    for (;;) {
      try {
        return await (await ask(`jobs/${this.id}`, { signal })).json();
      } catch (fault) {
        if (!(fault instanceof Problem) || !fault.canPass || signal.aborted) throw fault;
        this.words.textContent = "The server does not answer; asking again";
        await new Promise((resolve) => setTimeout(resolve, 5 * POLL_MILLISECONDS));
      }
    }
  }

  #progress(what, share, seconds) {
    const left = seconds === null || !Number.isFinite(seconds) ? "" : `, ${duration(seconds)} left`;
    this.words.textContent = share > 0 ? `${what}, ${Math.floor(100 * share)} %${left}` : what;
    this.bar.value = share;
  }

  #fail(fault) {
    if (this.ending.signal.aborted) return;
    this.root.classList.add("is-failed");
    this.bar.hidden = true;
    this.button.textContent = "Remove";
    this.words.textContent = `${fault.title ?? "Failed"}: ${fault.message}`;
  }

  async #show(job) {
    this.bar.hidden = true;
    this.button.textContent = "Remove";
    const { facts } = job.result;
    const size = `${facts.width.toLocaleString("en")} × ${facts.height.toLocaleString("en")} pixels`;
    this.words.textContent = `Done by ${job.model}, ${size}`;
    const image = await this.#picture(job);
    const downloads = element("p", { className: "job-downloads" }, ...files(job).map((file) => this.#download(file)));
    this.body.replaceChildren(...(image === null ? [] : [image]), element("div", {}, classes(facts), notes(facts), downloads));
    this.body.hidden = false;
  }

  async #picture(job) {
    const path = job.result.overview === null ? null : `jobs/${job.id}/overview`;
    if (path === null) return null;
    const blob = await (await ask(path, { signal: this.ending.signal })).blob();
    return element("img", { src: URL.createObjectURL(blob), alt: `${this.name} with its classes` });
  }

  #download({ format, path }) {
    const button = element("button", { type: "button", className: "primary" }, TITLES[format] ?? format);
    const link = () => element("a", { href: new URL(`../${path}`, import.meta.url).href, download: "" });
    button.addEventListener("click", async () => {
      if (!hasKey()) return link().click(); // the browser writes it to the disk as it comes
      button.disabled = true;
      try {
        const answer = await ask(path);
        save(await answer.blob(), nameIn(answer) ?? this.name);
      } catch (fault) {
        this.words.textContent = fault.message;
      }
      button.disabled = false;
    });
    return button;
  }

  async #remove() {
    this.ending.abort();
    this.removed();
    if (this.id !== null) await ask(`jobs/${this.id}`, { method: "DELETE" }).catch(() => null);
  }
}

/** The files of a result, each with its format. */
function files(job) {
  const [main, ...others] = job.format.split(",");
  return [main, ...others].map((format) => ({
    format,
    path: `jobs/${job.id}/result${format === main ? "" : `?format=${format}`}`,
  }));
}

function classes({ classes }) {
  if (classes === undefined) return "";
  const rows = classes.map(({ name, color, share, area_m2 }) =>
    element(
      "li",
      {},
      swatch(color),
      element("span", { className: "name" }, name),
      element("span", { className: "share" }, `${(100 * share).toFixed(1)} %`),
      element("span", { className: "area" }, area_m2 === undefined ? "" : area(area_m2)),
    ),
  );
  return element("ul", { className: "job-classes" }, ...rows);
}

function notes({ notes }) {
  return element("p", { className: "fine" }, (notes ?? []).join(" "));
}

function area(squareMeters) {
  const [value, unit] = squareMeters < 1e6 ? [squareMeters, "m²"] : [squareMeters / 1e6, "km²"];
  return `${value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 2 : 0 })} ${unit}`;
}

function stage({ state, progress }) {
  if (state === "queued") return "Waiting for its turn";
  return progress < 1 ? "Segmenting" : "Writing the files";
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}

function nameIn(answer) {
  return /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? null;
}
