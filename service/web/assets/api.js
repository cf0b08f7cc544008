// Talks to the server that this page came from. Addresses are relative to this file, so that a proxy's prefix holds.

const ROOT = new URL("..", import.meta.url);
const KEY = "segserve-api-key";

/** A fault to be shown to a person as it stands. `status` is 0 where the server did not answer. */
export class Problem extends Error {
  constructor(title, detail, status, retryAfterSeconds) {
    super(detail);
    this.title = title;
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** Whether the same request may do better later: it was not the picture that was wrong. */
  get canPass() {
    return this.status < 400 || this.status >= 500 || [401, 408, 429, 499].includes(this.status);
  }
}

export const setKey = (key) => sessionStorage.setItem(KEY, key);
export const hasKey = () => sessionStorage.getItem(KEY) !== null;

export async function listModels() {
  return (await ask("models")).json();
}

export async function showModel(name) {
  return (await ask(`models/${encodeURIComponent(name)}`)).json();
}

/**
 * Segment one file: the answer's bytes, the model that made them ("street/1"), the page of the file ("1/3") where it has several, the mean confidence and how
 * atypical the picture is with the reasons, null where the server does not say, the stages of its Server-Timing in milliseconds, and the milliseconds that it took as seen from here.
 */
export async function segment(file, name, query, signal) {
  const body = new FormData();
  body.append("image", file, name);
  const started = performance.now();
  const response = await ask(`segment?${new URLSearchParams(query)}`, { method: "POST", body, signal });
  const blob = await response.blob();
  return {
    blob,
    model: response.headers.get("X-Model"),
    page: response.headers.get("X-Page"),
    confidence: numberOf(response.headers.get("X-Confidence")),
    atypical: numberOf(response.headers.get("X-Atypical")),
    reasons: response.headers.get("X-Atypical-Reasons")?.split(",") ?? [],
    timing: parseTiming(response.headers.get("Server-Timing") ?? ""),
    milliseconds: performance.now() - started,
  };
}

const numberOf = (text) => (text === null ? null : Number(text));

/** The command line that does what `segment` does. An example is fetched first, for it lies on the server alone. */
export function curlLine(picture, query, output) {
  const address = shellWord(new URL(`segment?${new URLSearchParams(query)}`, ROOT).href);
  const key = hasKey() ? ` \\\n  -H "Authorization: Bearer $SEGSERVE_KEY"` : "";
  const source = picture.address === null ? "" : `curl ${shellWord(picture.address)} |\n`;
  const image = picture.address === null ? formFile(picture.name) : "image=@-";
  return `${source}curl -F ${shellWord(image)}${key} \\\n  ${address} \\\n  -o ${shellWord(output)}`;
}

/** `[["decode", 3.1], …]` of a Server-Timing header. */
export function parseTiming(header) {
  return [...header.matchAll(/([\w-]+);dur=([\d.]+)/g)].map(([, stage, duration]) => [
    stage,
    Number(duration),
  ]);
}

/** The answer to a request of this server. Throws a Problem where it is refused or does not come. */
export async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { Accept: "*/*", ...(key === null ? {} : { Authorization: `Bearer ${key}` }), ...options.headers };
  let response;
  try {
    // never stored: a model's page has the same address as its JSON
    response = await fetch(new URL(path, ROOT), { ...options, headers, cache: "no-store" });
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    throw new Problem(
      "No answer",
      "The server did not answer. See that it is running, then try again.",
      0,
      null,
    );
  }
  if (!response.ok) throw await readProblem(response);
  return response;
}

async function readProblem(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  if (response.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    const { title, detail } = await response.json();
    return new Problem(title, detail, response.status, retryAfter);
  }
  const detail = `Something before the server answered ${response.status} ${response.statusText}. Ask its operator.`;
  return new Problem("Not answered", detail.replace("  ", " "), response.status, retryAfter);
}

/** A word as a POSIX shell reads it. */
function shellWord(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** curl reads , and ; in a form's file name as its own, unless the name is quoted. */
function formFile(name) {
  return /[,;"\\]/.test(name) ? `image=@"${name.replaceAll(/["\\]/g, "\\$&")}"` : `image=@${name}`;
}
