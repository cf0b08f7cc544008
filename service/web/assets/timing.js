// Where the time of one answer went, from its Server-Timing header.

import { element } from "./dom.js";

const STAGES = { decode: "Decode", queue: "Wait", infer: "Model", encode: "Encode" };

export function showTiming({ total, bar, list }, answer) {
  const stages = answer.timing.filter(([stage]) => stage in STAGES);
  const whole = Math.max(answer.milliseconds, 1);
  const inside = stages.reduce((sum, [, milliseconds]) => sum + milliseconds, 0);
  const rows = [...stages, ["transfer", Math.max(0, whole - inside)]];
  total.textContent = duration(whole);
  bar.replaceChildren(
    ...rows.map(([stage, milliseconds]) => {
      const part = element("span", { className: `stage-${stage}` });
      part.style.flexGrow = milliseconds / whole;
      return part;
    }),
  );
  list.replaceChildren(
    ...rows.map(([stage, milliseconds]) =>
      element(
        "div",
        {},
        element("dt", { className: `stage-${stage}` }, STAGES[stage] ?? "Upload, download"),
        element("dd", {}, duration(milliseconds)),
      ),
    ),
  );
}

function duration(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(2)} s`;
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
}
