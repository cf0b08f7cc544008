// The page of one model: its card, and the facts of its contract.

import { setKey, showModel } from "./api.js";
import { byId, element, swatch } from "./dom.js";
import { markdown } from "./markdown.js";

const name = decodeURIComponent(location.pathname.split("/").at(-1));

async function load() {
  document.title = `${name}: segserve`;
  try {
    show(await showModel(name));
  } catch (problem) {
    fail(problem);
  }
  document.querySelector("main").ariaBusy = "false";
}

function show({ card, versions, serving_version: serving }) {
  const model = versions.find(({ version }) => version === serving) ?? versions.at(-1);
  const text = card ?? `# ${name}\n\n${model.error ?? "This model has no card."}`;
  byId("card").replaceChildren(markdown(text));
  byId("try").href = `../?model=${encodeURIComponent(name)}`;
  byId("try").hidden = serving === null;
  byId("fact-list").replaceChildren(
    ...facts(model, versions).map(([term, fact]) =>
      element("div", {}, element("dt", {}, term), element("dd", {}, fact)),
    ),
  );
  const classes = model.contract?.classes ?? [];
  byId("classes").hidden = classes.length === 0;
  byId("classes")
    .querySelector("ul")
    .replaceChildren(
      ...classes.map(({ id, name: label, color }) =>
        element("li", {}, swatch(color), label, element("span", { className: "fine" }, String(id))),
      ),
    );
  byId("facts").hidden = false;
}

/** Terms with what they are of this model; what is not known is left out. */
function facts({ version, state, engine, contract, size_bytes: bytes }, versions) {
  const others = versions
    .filter((other) => other.version !== version)
    .map((other) => `${other.version} (${other.state})`);
  return [
    ["Version", `${version}, ${state}`],
    ["Other versions", others.join(", ")],
    ["Runs on", engine && `${engine.name}, ${engine.device}, ${engine.precision}`],
    ["Network", contract?.architecture],
    ["Parameters", contract?.parameters.toLocaleString("en")],
    ["Pictures", contract && (contract.channels === 3 ? "colour, of any size" : "gray, of any size")],
    [
      "Sees",
      contract &&
        (contract.receptive_field_radius === null
          ? "the whole picture"
          : `${contract.receptive_field_radius} pixels around each`),
    ],
    ["Files", bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`],
    ["SHA-256", contract?.digest.slice(0, 16)],
  ].filter(([, fact]) => fact);
}

function fail(problem) {
  byId("card").replaceChildren(
    element("h1", {}, problem.title ?? "Not shown"),
    element("p", { role: "alert" }, problem.message),
  );
  if (problem.status !== 401) return;
  const key = element("input", { type: "password", ariaLabel: "API key", required: true });
  const form = element(
    "form",
    { className: "key" },
    key,
    element("button", { className: "primary" }, "Use this key"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    setKey(key.value);
    load();
  });
  byId("card").append(form);
}

load();
