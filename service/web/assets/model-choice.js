// Which model segments: the list of this server's models, the one chosen, and word of it while it cannot be used.

import { hasKey, listModels, Problem, setKey } from "./api.js";

const POLL_MILLISECONDS = 1000;

export class ModelChoice {
  /** `uses(name, isOpen)` hears which model is chosen, and whether it takes pictures yet. */
  constructor(parts, uses) {
    Object.assign(this, parts, { uses });
    this.models = [];
    this.chosen = new URLSearchParams(location.search).get("model");
    this.isOpen = false;
    this.list.addEventListener("change", () => {
      this.#use(this.list.value);
      if (!this.isOpen) this.watch();
    });
  }

  /** Ask for the models until the chosen one can be used; the page works meanwhile. */
  async watch() {
    for (;;) {
      try {
        const { models, default_model: byDefault } = await listModels();
        this.models = models;
        this.#offer(byDefault);
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        if (problem.status === 401) await new Promise((resolve) => this.askForKey(problem, resolve));
        else this.#tell(problem.message);
      }
      if (this.isOpen) return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
    }
  }

  /** The contract of a model by its id, such as "street/1"; one loaded since the list was read is asked for. */
  async contractOf(id) {
    const find = () => this.models.find(({ name, version }) => `${name}/${version}` === id)?.contract;
    if (!find()) this.models = (await listModels()).models;
    return find() ?? { classes: [], background: null, ignore: null };
  }

  /** Ask the person for an API key, then go on. */
  askForKey(problem, then) {
    this.keyText.textContent = hasKey()
      ? problem.message
      : "This server is for those who have a key to it. Its operator gives them out.";
    this.keyDialog.onclose = () => {
      setKey(this.key.value);
      then();
    };
    if (!this.keyDialog.open) this.keyDialog.showModal();
  }

  /** Each model by name for its newest version, and by name and version where it has several. */
  #offer(byDefault) {
    const names = this.models.map(({ name }) => name);
    const hasSeveral = (name) => names.indexOf(name) !== names.lastIndexOf(name);
    const pinned = this.models.filter(({ name }) => hasSeveral(name));
    const choices = new Set([...names, ...pinned.map(({ name, version }) => `${name}/${version}`)]);
    if (byDefault !== null) choices.add(byDefault);
    const chosen = choices.has(this.chosen) ? this.chosen : byDefault;
    const options = [...choices].sort().map((name) => new Option(name, name, false, name === chosen));
    this.list.replaceChildren(...options);
    this.list.disabled = choices.size === 0;
    this.#use(chosen);
  }

  #use(chosen) {
    const versions = this.models.filter(
      ({ name, version }) => chosen === name || chosen === `${name}/${version}`,
    );
    this.chosen = chosen;
    this.isOpen = versions.some(({ state }) => state === "ready" || state === "unloaded");
    this.#tell(this.isOpen ? "" : obstacle(chosen, versions));
    this.cardLink.href = `models/${encodeURIComponent((chosen ?? "").split("/")[0])}`;
    this.cardLink.hidden = chosen === null;
    this.uses(chosen, this.isOpen);
  }

  #tell(sentence) {
    this.notice.textContent = sentence;
    this.notice.hidden = sentence === "";
  }
}

/** Why a model cannot be used. */
function obstacle(chosen, versions) {
  if (chosen === null) {
    return "This server has no models yet. Put one into its store; this page takes note by itself.";
  }
  if (versions.some(({ state }) => state === "loading")) {
    return `The model ${chosen} is loading. Pictures you add now are segmented as soon as it is ready.`;
  }
  const error = versions.find((version) => version.error !== null)?.error ?? "it is being unloaded";
  return `The model ${chosen} does not serve: ${error}`;
}
