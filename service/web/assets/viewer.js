// Shows a picture with its classes over it: two canvases of the size of the window they fill, not of the picture.
//
// Opacity and swipe are styles of the upper canvas, so they cost no drawing. Zooming and panning draw two bitmaps, once
// a frame at most; each has a copy of screen size for when the whole is seen.

import { close } from "./bitmaps.js";
import { swatch } from "./dom.js";

const MAX_SCALE = 32; // screen pixels a picture pixel,
const MAX_BEYOND_FIT = 8; // or so many times as large as the window, where that is more
const ARROW_STEP = 12;
const PAN_STEP = 64;

export class Viewer {
  /** `describe(x, y)` gives `{ id, name, color }` of a picture's pixel or null; `hovers(id or null)` hears of it. */
  constructor(parts, { describe, hovers, moves }) {
    Object.assign(this, parts, { describe, hovers, moves });
    this.size = null;
    this.picture = null;
    this.classes = null;
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.isFit = true;
    this.point = null; // picture coordinates of the crosshair
    this.pointers = new Map();
    this.frame = 0;
    this.division = 50;
    new ResizeObserver(() => this.#resize()).observe(this.root);
    this.#listen();
  }

  /** Start on a picture of this size; what was shown before is dropped. */
  open(width, height) {
    this.size = { width, height };
    this.#replace("picture", null);
    this.#replace("classes", null);
    this.point = null;
    this.crosshair.hidden = true;
    this.#hideProbe();
    this.fit();
  }

  /** Show bitmaps, `{ whole, overview }`, which are the viewer's from here on. */
  setPicture(levels) {
    this.#replace("picture", levels);
  }

  setClasses(levels) {
    this.#replace("classes", levels);
  }

  setOpacity(percent) {
    this.classLayer.style.opacity = percent / 100;
  }

  setSwipe(isOn) {
    this.divider.hidden = !isOn;
    this.#divide(this.division);
  }

  get isSwiped() {
    return !this.divider.hidden;
  }

  fit() {
    this.isFit = true;
    this.scale = this.#fitScale();
    this.#settle();
  }

  /** Bring a box of the picture's pixels to the middle, with its surroundings. */
  lookAt({ x, y, width, height }) {
    if (this.size === null) return;
    const { clientWidth, clientHeight } = this.root;
    this.#zoomTo(Math.min(clientWidth / width, clientHeight / height) / 2, this.#focus());
    this.x = clientWidth / 2 - (x + width / 2) * this.scale;
    this.y = clientHeight / 2 - (y + height / 2) * this.scale;
    this.#settle();
  }

  zoom(factor, at = this.#focus()) {
    this.#zoomTo(this.scale * factor, at);
  }

  actualSize() {
    this.#zoomTo(1 / devicePixelRatio, this.#focus());
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.#settle();
  }

  clearClasses() {
    this.#replace("classes", null);
    this.#hideProbe();
  }

  /** Give a layer new bitmaps, and the memory of the old ones back at once. */
  #replace(layer, levels) {
    close(this[layer]);
    this[layer] = levels;
    this.#draw();
  }

  #fitScale() {
    const { width, height } = this.size ?? { width: 1, height: 1 };
    return Math.min(this.root.clientWidth / width, this.root.clientHeight / height);
  }

  /** Where keys zoom: at the crosshair, else at the middle. */
  #focus() {
    return this.point === null
      ? { x: this.root.clientWidth / 2, y: this.root.clientHeight / 2 }
      : { x: this.x + (this.point.x + 0.5) * this.scale, y: this.y + (this.point.y + 0.5) * this.scale };
  }

  #zoomTo(scale, at) {
    if (this.size === null) return;
    const least = this.#fitScale();
    const most = Math.max(MAX_SCALE / devicePixelRatio, MAX_BEYOND_FIT * least);
    const next = Math.max(least, Math.min(scale, most));
    this.x = at.x - ((at.x - this.x) * next) / this.scale;
    this.y = at.y - ((at.y - this.y) * next) / this.scale;
    this.scale = next;
    this.isFit = next === least;
    this.#settle();
  }

  /** Keep the picture in the window, or in its middle where it is the smaller. */
  #settle() {
    if (this.size === null) return;
    const settle = (offset, room, length) =>
      length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, offset));
    this.x = settle(this.x, this.root.clientWidth, this.size.width * this.scale);
    this.y = settle(this.y, this.root.clientHeight, this.size.height * this.scale);
    this.root.classList.toggle("is-zoomed", !this.isFit);
    this.#divide(this.division);
    this.#placeCrosshair();
    this.moves(this.scale * devicePixelRatio);
    this.#draw();
  }

  #resize() {
    if (this.size === null || this.root.clientWidth === 0) return;
    this.scale = this.isFit ? this.#fitScale() : Math.max(this.scale, this.#fitScale());
    this.#settle();
  }

  #draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      const shown = this.scale * devicePixelRatio;
      this.#drawLayer(this.pictureLayer, this.picture, shown < 4);
      this.#drawLayer(this.classLayer, this.classes, shown < 1);
    });
  }

  #drawLayer(canvas, levels, isSmooth) {
    const ratio = devicePixelRatio;
    const [width, height] = [
      Math.round(this.root.clientWidth * ratio),
      Math.round(this.root.clientHeight * ratio),
    ];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (levels === null) return;
    const [left, top] = [this.x, this.y].map((offset) => Math.round(offset * ratio));
    const [wide, high] = [this.size.width, this.size.height].map((length) =>
      Math.round(length * this.scale * ratio),
    );
    context.imageSmoothingEnabled = isSmooth;
    context.imageSmoothingQuality = "high";
    context.drawImage(wide <= levels.overview.width ? levels.overview : levels.whole, left, top, wide, high);
  }

  /** Put the divider at a percentage of the picture's visible width, and cut the classes off left of it. */
  #divide(percent) {
    this.division = Math.max(0, Math.min(100, percent));
    const [left, right] = this.#visible();
    const at = left + ((right - left) * this.division) / 100;
    this.divider.style.transform = `translateX(${at}px)`;
    this.divider.setAttribute("aria-valuenow", Math.round(this.division));
    this.divider.setAttribute(
      "aria-valuetext",
      `picture on the left ${Math.round(this.division)} %, classes on the right`,
    );
    this.classLayer.style.clipPath = this.isSwiped ? `inset(0 0 0 ${at}px)` : "";
  }

  #visible() {
    const width = this.size === null ? 0 : this.size.width * this.scale;
    return [Math.max(0, this.x), Math.min(this.root.clientWidth, this.x + width)];
  }

  #listen() {
    this.root.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.root.addEventListener("pointerdown", (event) => this.#down(event));
    this.root.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"])
      this.root.addEventListener(end, (event) => this.#up(event));
    this.root.addEventListener("pointerleave", () => this.#hideProbe());
    this.root.addEventListener("dblclick", (event) =>
      this.isFit ? this.zoom(3, this.#inside(event)) : this.fit(),
    );
    this.root.addEventListener("keydown", (event) => this.#key(event));
    this.root.addEventListener("keyup", (event) => event.key === " " && this.#peek(false));
    this.root.addEventListener("blur", () => this.#peek(false));
    this.divider.addEventListener("keydown", (event) => this.#dividerKey(event));
    this.divider.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      this.divider.setPointerCapture(event.pointerId);
    });
    this.divider.addEventListener("pointermove", (event) => {
      if (!this.divider.hasPointerCapture(event.pointerId)) return;
      const [left, right] = this.#visible();
      this.#divide((100 * (this.#inside(event).x - left)) / (right - left));
    });
  }

  #inside(event) {
    const box = this.root.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #wheel(event) {
    if (this.isFit && event.deltaY > 0 && !event.ctrlKey) return; // nothing to zoom out of: the page may scroll
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    this.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), this.#inside(event));
  }

  #down(event) {
    if (event.target.closest("button") !== null) return;
    if (event.button !== 0) return;
    this.pointers.set(event.pointerId, this.#inside(event));
    this.root.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const at = this.#inside(event);
    const before = this.pointers.get(event.pointerId);
    if (before !== undefined) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (other !== undefined) this.#pinch(before, at, other);
      else if (!this.isFit) this.pan(at.x - before.x, at.y - before.y);
      this.pointers.set(event.pointerId, at);
    }
    if (event.pointerType === "mouse") this.#probeAt(at);
  }

  #pinch(before, at, other) {
    const distance = (point) => Math.hypot(point.x - other.x, point.y - other.y);
    const middle = { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 };
    this.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
    this.zoom(distance(at) / Math.max(1, distance(before)), middle);
  }

  #up(event) {
    this.pointers.delete(event.pointerId);
    if (event.type === "pointerup" && event.pointerType !== "mouse") this.#probeAt(this.#inside(event));
  }

  #key(event) {
    if (event.target !== this.root || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const keys = {
      "+": () => this.zoom(1.25),
      "=": () => this.zoom(1.25),
      "-": () => this.zoom(0.8),
      0: () => this.fit(),
      1: () => this.actualSize(),
      " ": () => this.#peek(true),
    };
    if (arrow !== undefined && event.shiftKey) this.pan(-arrow[0] * PAN_STEP, -arrow[1] * PAN_STEP);
    else if (arrow !== undefined) this.#moveCrosshair(...arrow);
    else if (Object.hasOwn(keys, event.key)) keys[event.key]();
    else return;
    event.preventDefault();
  }

  #dividerKey(event) {
    const step = {
      ArrowLeft: -2,
      ArrowDown: -2,
      ArrowRight: 2,
      ArrowUp: 2,
      PageDown: -20,
      PageUp: 20,
      Home: -100,
      End: 100,
    }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    this.#divide(this.division + step);
  }

  #peek(isOn) {
    this.classLayer.classList.toggle("is-peeked", isOn);
  }

  #moveCrosshair(dx, dy) {
    if (this.size === null) return;
    const step = Math.max(1, Math.round(ARROW_STEP / this.scale));
    const from = this.point ?? { x: Math.floor(this.size.width / 2), y: Math.floor(this.size.height / 2) };
    this.point = {
      x: Math.max(0, Math.min(this.size.width - 1, from.x + dx * step)),
      y: Math.max(0, Math.min(this.size.height - 1, from.y + dy * step)),
    };
    this.crosshair.hidden = false;
    const at = this.#focus(); // follow the crosshair out of the window
    const outside = (offset, room) => Math.min(0, offset) + Math.max(0, offset - room);
    this.pan(-outside(at.x, this.root.clientWidth), -outside(at.y, this.root.clientHeight));
    this.#probeAt(this.#focus());
  }

  #placeCrosshair() {
    if (this.point === null) return;
    const { x, y } = this.#focus();
    this.crosshair.style.transform = `translate(${x}px, ${y}px)`;
  }

  #probeAt(at) {
    if (this.size === null) return;
    const x = Math.floor((at.x - this.x) / this.scale);
    const y = Math.floor((at.y - this.y) / this.scale);
    const isInside = x >= 0 && y >= 0 && x < this.size.width && y < this.size.height;
    const found = isInside ? this.describe(x, y) : null;
    if (found === null) {
      this.#hideProbe();
      return;
    }
    this.probe.replaceChildren(swatch(found.color), found.name);
    this.probe.hidden = false;
    const left = Math.min(at.x + 14, this.root.clientWidth - this.probe.offsetWidth - 4);
    const top =
      at.y + 18 + this.probe.offsetHeight > this.root.clientHeight
        ? at.y - 12 - this.probe.offsetHeight
        : at.y + 18;
    this.probe.style.transform = `translate(${Math.max(4, left)}px, ${top}px)`;
    this.hovers(found.id);
  }

  #hideProbe() {
    this.probe.hidden = true;
    this.hovers(null);
  }
}
