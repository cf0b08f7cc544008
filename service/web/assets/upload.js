// A file on its way to a job, in parts, as tus 1.0.0 has it: what is cut off goes on where it stopped.

import { ask, Problem } from "./api.js";

const PART_BYTES = 8 * 1024 * 1024;
const PATIENCE_TRIES = 8;
const VERSION = { "Tus-Resumable": "1.0.0" };

/** Announce a job for the file: its address. */
export async function announce(file, name, query, signal) {
  const text = new TextEncoder().encode(name);
  const metadata = btoa(String.fromCharCode(...text));
  const headers = { ...VERSION, "Upload-Length": file.size, "Upload-Metadata": `filename ${metadata}` };
  const made = await ask(`jobs?${new URLSearchParams(query)}`, { method: "POST", headers, signal });
  return (await made.json()).id;
}

/** Send the file of a job; `tell(sent)` is called with the bytes that have arrived. */
export async function send(id, file, tell, signal) {
  let offset = 0;
  for (let tries = 0; offset < file.size; ) {
    try {
      offset = await sendPart(id, file, offset, signal);
      tries = 0;
      tell(offset);
    } catch (fault) {
      tries += 1;
      const passes = fault instanceof Problem && (fault.canPass || fault.status === 409);
      if (!passes || tries === PATIENCE_TRIES || signal.aborted) throw fault;
      await new Promise((resolve) => setTimeout(resolve, 1000 * (fault.retryAfterSeconds ?? tries)));
      offset = await arrived(id, signal).catch(() => offset);
    }
  }
}

async function sendPart(id, file, offset, signal) {
  const headers = { ...VERSION, "Content-Type": "application/offset+octet-stream", "Upload-Offset": offset };
  const body = file.slice(offset, offset + PART_BYTES);
  const answer = await ask(`jobs/${id}`, { method: "PATCH", headers, body, signal });
  return Number(answer.headers.get("Upload-Offset"));
}

async function arrived(id, signal) {
  const answer = await ask(`jobs/${id}`, { method: "HEAD", headers: VERSION, signal });
  return Number(answer.headers.get("Upload-Offset"));
}
