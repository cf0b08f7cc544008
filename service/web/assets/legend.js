// The classes of a picture with their shares; a click shows one alone.

import { element, swatch } from "./dom.js";

export class Legend {
  /** `chooses(ids or null)`: the classes to be shown, null for all. */
  constructor({ list, absent, showAll }, chooses) {
    Object.assign(this, { list, absent, showAll, chooses });
    this.shown = null;
    this.rows = new Map();
    showAll.addEventListener("click", () => {
      this.#choose(null);
      this.list.querySelector("button")?.focus();
    });
  }

  /** `present` is `[{ id, name, color, percent }]`, the largest first; `absent` are names. */
  show(present, absent) {
    this.shown = null;
    this.rows = new Map(present.map((one) => [one.id, this.#row(one)]));
    this.list.replaceChildren(...[...this.rows.values()].map((row) => element("li", {}, row)));
    this.absent.hidden = absent.length === 0;
    this.absent.textContent = `Not in this picture: ${absent.join(", ")}.`;
    this.#mark();
  }

  clear() {
    this.show([], []);
  }

  /** Mark the class that lies under the pointer. */
  point(id) {
    for (const [other, row] of this.rows) row.classList.toggle("is-under", other === id);
  }

  #row({ id, name, color, percent }) {
    const bar = element("span");
    bar.style.width = `${percent}%`;
    const share = element("span", { className: "share" }, `${percent.toFixed(1)} %`);
    const row = element(
      "button",
      { type: "button" },
      swatch(color),
      element("span", { className: "name" }, name),
      share,
      element("span", { className: "share-bar" }, bar),
    );
    row.addEventListener("click", (event) =>
      this.#click(id, event.ctrlKey || event.metaKey || event.shiftKey),
    );
    return row;
  }

  /** A click shows one class alone, a second one all again; with a modifier key it adds a class or takes it away. */
  #click(id, isAdding) {
    const isAlone = this.shown?.size === 1 && this.shown.has(id);
    if (!isAdding) {
      this.#choose(isAlone ? null : new Set([id]));
      return;
    }
    const shown = new Set(this.shown);
    if (!shown.delete(id)) shown.add(id);
    this.#choose(shown.size === 0 || shown.size === this.rows.size ? null : shown);
  }

  #choose(shown) {
    this.shown = shown;
    this.#mark();
    this.chooses(shown);
  }

  #mark() {
    for (const [id, row] of this.rows) {
      row.setAttribute("aria-pressed", this.shown?.has(id) ?? false);
      row.classList.toggle("is-off", this.shown !== null && !this.shown.has(id));
    }
    this.showAll.hidden = this.shown === null;
  }
}
