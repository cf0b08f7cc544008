// The pictures of this visit: each goes to the server once a model, two at a time, the one looked at first.

import { Problem, segment } from "./api.js";
import { makeThumbnail } from "./bitmaps.js";

const AT_ONCE = 2;
const PATIENCE_TRIES = 20;
const THUMBNAIL_HEIGHT = 128;

export class Pictures {
  /** `changed(picture)` is called whenever a picture's state changes, or with null when the list does. */
  constructor(changed) {
    this.changed = changed;
    this.list = [];
    this.selected = null;
    this.model = null;
    this.isOpen = false;
  }

  /** Add files as `{ name, file, address }`; the address is that of a bundled example, else null. Gives the first. */
  add(sources) {
    const added = sources.map((source) => ({
      ...source,
      state: "waiting",
      answer: null,
      problem: null,
      thumbnail: null,
      isBlank: false, // the browser cannot read it
      request: null,
      started: 0,
    }));
    this.list.push(...added);
    this.changed(null);
    this.#makeThumbnails(added);
    this.#run();
    return added[0];
  }

  remove(picture) {
    picture.request?.abort();
    this.list = this.list.filter((other) => other !== picture);
    this.changed(null);
    this.#run();
  }

  /** Take back what was asked for; the server is told. */
  cancel(picture) {
    picture.request?.abort();
    const problem = new Problem("Cancelled", "This picture was not segmented.", 0, null);
    Object.assign(picture, { state: "failed", answer: null, problem });
    this.changed(picture);
    this.#run();
  }

  /** Use a model, for all pictures anew where it is another; they wait until it is `isOpen`. */
  use(model, isOpen) {
    if (model !== this.model) {
      this.list.forEach((picture) => this.#reset(picture));
    }
    Object.assign(this, { model, isOpen });
    this.#run();
  }

  retry(picture) {
    this.#reset(picture);
    this.#run();
  }

  async makeThumbnail(picture, source) {
    picture.thumbnail = await makeThumbnail(source, THUMBNAIL_HEIGHT).catch(() => null);
    picture.isBlank = picture.thumbnail === null;
    this.changed(picture);
  }

  #reset(picture) {
    picture.request?.abort();
    Object.assign(picture, { state: "waiting", answer: null, problem: null });
    this.changed(picture);
  }

  #run() {
    if (!this.isOpen) return;
    const free = AT_ONCE - this.list.filter(({ state }) => state === "running").length;
    const waiting = this.list.filter(({ state }) => state === "waiting");
    waiting.sort((a, b) => (b === this.selected) - (a === this.selected));
    waiting.slice(0, Math.max(0, free)).forEach((picture) => this.#segment(picture));
  }

  async #segment(picture) {
    picture.request = new AbortController();
    const { signal } = picture.request;
    Object.assign(picture, { state: "running", started: performance.now() });
    this.changed(picture);
    try {
      const answer = await patiently(
        () => segment(picture.file, picture.name, { model: this.model, format: "png" }, signal),
        signal,
      );
      if (!signal.aborted) Object.assign(picture, { state: "done", answer });
    } catch (problem) {
      if (!signal.aborted) Object.assign(picture, { state: "failed", problem });
    }
    if (signal.aborted) return;
    this.changed(picture);
    this.#run();
  }

  /** One after the other: each decodes a whole picture. */
  async #makeThumbnails(pictures) {
    for (const picture of pictures) await this.makeThumbnail(picture, picture.file);
  }
}

/** Ask again while the server says when to: its queue is full, or the model is loading. */
async function patiently(ask, signal) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask();
    } catch (fault) {
      const isBusy =
        fault instanceof Problem && [429, 503].includes(fault.status) && fault.retryAfterSeconds !== null;
      if (!isBusy || tries === PATIENCE_TRIES || signal.aborted) throw fault;
      await new Promise((resolve) => setTimeout(resolve, fault.retryAfterSeconds * 1000));
    }
  }
}
