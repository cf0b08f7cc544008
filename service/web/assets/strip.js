// The strip of pictures: a button each, with what became of it.

import { element } from "./dom.js";

const STATES = { waiting: "waiting", running: "at work", done: "done", failed: "failed" };

export class Strip {
  constructor(list, { selects, removes }) {
    Object.assign(this, { list, selects, removes });
    this.items = new Map();
  }

  /** Show exactly these pictures. */
  show(pictures, selected) {
    for (const [picture, item] of this.items) {
      if (!pictures.includes(picture)) {
        item.remove();
        this.items.delete(picture);
      }
    }
    for (const picture of pictures) {
      if (!this.items.has(picture)) this.items.set(picture, this.#make(picture));
      this.update(picture, selected);
    }
  }

  update(picture, selected) {
    const item = this.items.get(picture);
    if (item === undefined) return;
    const [choose] = item.children;
    item.dataset.state = picture.state;
    choose.setAttribute("aria-current", picture === selected);
    choose.setAttribute("aria-label", `${picture.name}, ${STATES[picture.state]}`);
    const [canvas] = choose.children;
    if (picture.thumbnail !== null && canvas.width !== picture.thumbnail.width) {
      Object.assign(canvas, { width: picture.thumbnail.width, height: picture.thumbnail.height });
      canvas.getContext("2d").drawImage(picture.thumbnail, 0, 0);
    } else if (picture.isBlank) {
      nameType(canvas, picture.name);
    }
  }

  #make(picture) {
    const choose = element(
      "button",
      { type: "button", title: picture.name },
      element("canvas", { width: 96, height: 72 }),
    );
    choose.addEventListener("click", () => this.selects(picture));
    choose.addEventListener("keydown", (event) => {
      if (event.key === "Delete" || event.key === "Backspace") this.removes(picture);
    });
    const remove = element(
      "button",
      { type: "button", className: "remove", ariaLabel: `Remove ${picture.name}` },
      "×",
    );
    remove.addEventListener("click", () => this.removes(picture));
    const item = element("li", {}, choose, remove);
    this.list.append(item);
    return item;
  }
}

/** In place of a picture that the browser cannot read: what type it is. */
function nameType(canvas, name) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = getComputedStyle(canvas).color;
  context.font = "600 18px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  const type = name.includes(".") ? name.split(".").at(-1) : "?";
  context.fillText(type.slice(0, 6).toUpperCase(), canvas.width / 2, canvas.height / 2);
}
