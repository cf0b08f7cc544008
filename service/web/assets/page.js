// The page at /: brings the parts together. Start reading at `show`.

import { segment } from "./api.js";
import { close, keepMap, openPicture, readMap } from "./bitmaps.js";
import { shares } from "./class-map.js";
import { Confidence } from "./confidence.js";
import { byId } from "./dom.js";
import { Jobs, sortOut } from "./jobs.js";
import { Legend } from "./legend.js";
import { ModelChoice } from "./model-choice.js";
import { Pictures } from "./pictures.js";
import { Result } from "./result.js";
import { Strip } from "./strip.js";
import { showTiming } from "./timing.js";
import { Viewer } from "./viewer.js";

const IGNORE_NAME = "ignore"; // as the JSON formats call it
const SECONDS_SHOWN_FROM = 2; // of a wait: what is done sooner needs no clock

let map = null; // the class map of the picture that is shown
let opened = null; // the picture that the viewer has
let read = null; // the answer whose class map is shown or on its way
let paintings = 0; // counts what was painted, for the same reason
let visit = 0; // counts what was shown, so that what is late is dropped

const viewer = new Viewer(
  {
    root: byId("viewer"),
    pictureLayer: byId("picture-layer"),
    classLayer: byId("class-layer"),
    crosshair: byId("crosshair"),
    divider: byId("divider"),
    probe: byId("probe"),
  },
  {
    describe: classAt,
    hovers: (id) => legend.point(id),
    moves: (scale) => (byId("zoom-value").value = `${Math.round(100 * scale)} %`),
  },
);
const legend = new Legend(
  { list: byId("legend"), absent: byId("absent"), showAll: byId("show-all") },
  showOnly,
);
const result = new Result({
  formats: byId("formats"),
  text: byId("format-text"),
  onlyShown: byId("only-shown"),
  onlyShownLabel: byId("only-shown-label"),
  curl: byId("curl").firstElementChild,
  copy: byId("copy"),
  download: byId("download"),
  fault: byId("download-fault"),
});
const confidence = new Confidence(
  {
    mean: byId("confidence-mean"),
    atypical: byId("atypical"),
    least: byId("least"),
    leastValue: byId("least-value"),
    layer: byId("show-confidence"),
    regions: byId("unsure-regions"),
    list: byId("unsure"),
    none: byId("no-regions"),
    fault: byId("confidence-fault"),
  },
  { changes: () => showOnly(legend.shown), looksAt: (box) => viewer.lookAt(box) },
);
const strip = new Strip(byId("strip"), { selects: select, removes: remove });
const pictures = new Pictures(pictureChanged);
const jobs = new Jobs(byId("jobs"), byId("job-list"), () => pictures.model);
const choice = new ModelChoice(
  {
    list: byId("model"),
    cardLink: byId("card-link"),
    notice: byId("notice"),
    keyDialog: byId("key-dialog"),
    keyText: byId("key-text"),
    key: byId("key"),
  },
  (model, isOpen) => {
    result.set({ model });
    pictures.use(model, isOpen);
  },
);

/** Show a picture as soon as it is decoded, and its classes as soon as they are there. */
async function show(picture) {
  const turn = ++visit;
  map = opened = read = null;
  if (picture.state !== "done") legend.clear();
  showState(picture);
  result.set({ picture, shown: [] });
  const levels = await openPicture(picture.file).catch(() => null);
  if (turn !== visit) return close(levels);
  viewer.open(levels?.whole.width ?? 1, levels?.whole.height ?? 1);
  if (levels !== null) viewer.setPicture(levels);
  opened = picture;
  if (picture.state === "done") await showClasses(picture);
}

async function showClasses(picture) {
  const turn = visit;
  const { answer } = picture;
  const isLate = () => turn !== visit || answer !== read;
  read = answer;
  const classMap = await readMap(answer.blob);
  const contract = await choice.contractOf(answer.model);
  if (isLate()) return;
  if (viewer.size?.width !== classMap.width || viewer.size?.height !== classMap.height)
    await showServersCopy(picture, classMap);
  if (isLate()) return;
  keepMap(classMap);
  map = { ...classMap, names: contract.classes.map(({ name }) => name) };
  const percents = shares(map);
  const present = percents.map(([id, percent]) => ({ ...classOf(id), percent }));
  legend.show(
    present,
    map.names.filter((_, id) => map.counts[id] === 0),
  );
  result.set({ picture, shown: [], canFilter: contract.background !== null || contract.ignore !== null });
  confidence.show(picture, answer, map, classOf);
  showTiming({ total: byId("timing-total"), bar: byId("timing-bar"), list: byId("timing") }, answer);
  showState(picture);
  byId("status").textContent =
    `${picture.name}: ${present.map(({ name, percent }) => `${name} ${percent.toFixed(1)} %`).join(", ")}`;
  await showOnly(null);
}

/** What the browser cannot decode, such as TIFF or HEIC, the server can: its overlay without any colour over it. */
async function showServersCopy(picture, { width, height }) {
  const turn = visit;
  viewer.open(width, height);
  const query = { model: picture.answer.model, format: "overlay", alpha: 0, media_type: "image/jpeg" };
  const copy = await segment(picture.file, picture.name, query).catch(() => null);
  if (copy === null) return;
  pictures.makeThumbnail(picture, copy.blob);
  const levels = await openPicture(copy.blob);
  if (turn !== visit) return close(levels);
  viewer.setPicture(levels);
}

async function showOnly(ids) {
  if (map === null) return;
  const turn = visit;
  const painting = ++paintings;
  const least = confidence.leastPercent;
  result.set({ shown: ids === null ? [] : [...ids].map((id) => classOf(id).name), least });
  byId("viewer").ariaBusy = "true";
  const levels = await confidence.paint(map, ids);
  if (turn !== visit || painting !== paintings) return close(levels);
  viewer.setClasses(levels);
  byId("viewer").ariaBusy = "false";
}

function classOf(id) {
  return { id, color: map.colors[id], name: map.names[id] ?? IGNORE_NAME };
}

function classAt(x, y) {
  if (map === null) return null;
  const found = classOf(map.ids[y * map.width + x]);
  if (!byId("crosshair").hidden) byId("status").textContent = `${found.name}, ${x}, ${y}`;
  return found;
}

/** What is said of the picture that is shown: at work, failed, or nothing but its classes. */
function showState({ state, problem, answer }) {
  const isFailed = state === "failed";
  const isDone = state === "done" && map !== null;
  if (!isDone) byId("viewer").ariaBusy = String(!isFailed); // else who paints the classes says when they are there
  byId("working").hidden = byId("cancel").hidden = isFailed || isDone;
  showWait();
  byId("fault").hidden = !isFailed;
  byId("viewer").classList.toggle("is-failed", isFailed);
  byId("fault-title").textContent = problem?.title ?? "";
  byId("fault-text").textContent = problem?.message ?? "";
  byId("retry").hidden = !problem?.canPass;
  byId("classes-section").hidden = byId("result-section").hidden = isFailed;
  byId("classes").hidden = !isDone;
  byId("no-classes").hidden = isDone;
  byId("time").hidden = byId("confidence-section").hidden = !isDone;
  byId("answered-by").textContent = isDone ? answer.model + pageOf(answer) : "";
}

/** What to add where a file holds several pictures, of which one was segmented. */
function pageOf({ page }) {
  return page === null ? "" : `, from page ${page.replace("/", " of ")} of the file`;
}

/** What the picture that is shown waits for, and for how long. */
function showWait() {
  const picture = pictures.selected;
  if (picture === null || byId("working").hidden) return;
  const seconds = Math.floor((performance.now() - picture.started) / 1000);
  const clock = picture.state === "running" && seconds >= SECONDS_SHOWN_FROM ? `, ${seconds} s` : "";
  byId("working-text").textContent = pictures.isOpen
    ? `Segmenting ${picture.name}${clock}`
    : "Waiting for the model";
}

function pictureChanged(picture) {
  const isAny = pictures.list.length > 0;
  byId("welcome").hidden = isAny;
  byId("workbench").hidden = byId("panel").hidden = !isAny;
  document.body.classList.toggle("is-working", isAny);
  if (picture === null) {
    strip.show(pictures.list, pictures.selected);
    return;
  }
  strip.update(picture, pictures.selected);
  if (picture.problem?.status === 401) {
    const refused = () => pictures.list.filter(({ problem }) => problem?.status === 401);
    choice.askForKey(picture.problem, () => refused().forEach((one) => pictures.retry(one)));
  }
  if (picture !== pictures.selected) return;
  if (picture.state !== "done") {
    map = read = null;
    viewer.clearClasses();
    legend.clear();
  }
  showState(picture);
  result.set({ picture });
  if (picture.state === "done" && picture === opened && picture.answer !== read) showClasses(picture);
}

function select(picture) {
  if (picture === pictures.selected) return;
  pictures.selected = picture;
  strip.show(pictures.list, picture);
  show(picture);
}

function remove(picture) {
  const place = pictures.list.indexOf(picture);
  pictures.remove(picture);
  const next = pictures.list[place] ?? pictures.list.at(-1);
  if (next === undefined) {
    visit += 1;
    pictures.selected = map = read = null;
    byId("choose").focus();
    return;
  }
  if (picture === pictures.selected) select(next);
  byId("strip").querySelector("[aria-current=true]").focus();
}

/** Add files or blobs with a name; `address` where they came from this server. What is too large for a request becomes a job. */
async function add(files, address = null) {
  const [large, usual] = address === null ? await sortOut([...files]) : [[], [...files]];
  large.forEach((file) => jobs.add(file));
  const sources = usual.map((file) => ({ name: file.name, file, address }));
  if (sources.length === 0) return;
  select(pictures.add(sources));
}

async function addExample(path) {
  const address = new URL(path, document.baseURI).href;
  const blob = await (await fetch(address)).blob();
  add([new File([blob], path.split("/").at(-1), { type: blob.type })], address);
  byId("viewer").focus();
}

// Controls

function setOpacity(percent) {
  const value = Math.max(0, Math.min(100, percent));
  byId("opacity").value = value;
  byId("opacity-value").value = `${value} %`;
  viewer.setOpacity(value);
  result.set({ alpha: value / 100 });
}

function toggleSwipe() {
  viewer.setSwipe(!viewer.isSwiped);
  byId("swipe").setAttribute("aria-pressed", viewer.isSwiped);
}

function listen() {
  const opacity = () => Number(byId("opacity").value);
  byId("opacity").addEventListener("input", () => setOpacity(opacity()));
  byId("swipe").addEventListener("click", toggleSwipe);
  byId("zoom-in").addEventListener("click", () => viewer.zoom(1.5));
  byId("zoom-out").addEventListener("click", () => viewer.zoom(1 / 1.5));
  byId("zoom-fit").addEventListener("click", () => viewer.fit());
  byId("viewer").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "c") toggleSwipe();
    if (event.key === "[") setOpacity(opacity() - 10);
    if (event.key === "]") setOpacity(opacity() + 10);
  });
  byId("retry").addEventListener("click", () => pictures.retry(pictures.selected));
  byId("cancel").addEventListener("click", () => pictures.cancel(pictures.selected));
  byId("discard").addEventListener("click", () => remove(pictures.selected));
  for (const id of ["choose", "add"]) byId(id).addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", () => {
    add(byId("file").files);
    byId("file").value = ""; // so that the same file can be chosen again
  });
  for (const button of byId("examples").querySelectorAll("button")) {
    button.addEventListener("click", () => addExample(button.dataset.example));
  }
  document.addEventListener("paste", (event) => add(event.clipboardData.files));
  listenToDrops();
}

function listenToDrops() {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    byId("drop").hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) byId("drop").hidden = true;
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    byId("drop").hidden = true;
    add(event.dataTransfer.files);
  });
}

listen();
setInterval(showWait, 1000);
setOpacity(Number(byId("opacity").value));
choice.watch();
jobs.resume();
