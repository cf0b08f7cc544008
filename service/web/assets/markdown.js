// Markdown as model cards use it, made into elements: text never becomes HTML, links go nowhere but to http(s).

import { element, swatch } from "./dom.js";

const INLINE =
  /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|\[([^\]]+)\]\((https?:[^)\s]+)\)|<?(https?:\/\/[^\s<>)]+[^\s<>).,;:])>?/g;
const COLOR = /^#[0-9a-f]{6}$/i;

/** Blocks in the order they are tried: how a block begins, and what is made of the lines from there on. */
const BLOCKS = [
  [/^```/, fence],
  [/^ {4}\S/, indented],
  [/^#{1,6} /, heading],
  [/^\|/, table],
  [/^[-*] /, (lines) => list(lines, "ul", /^[-*] /)],
  [/^\d+\. /, (lines) => list(lines, "ol", /^\d+\. /)],
];

export function markdown(text) {
  const lines = text.split(/\r?\n/);
  const made = document.createDocumentFragment();
  while (lines.length > 0) {
    if (lines[0].trim() === "") lines.shift();
    else made.append((BLOCKS.find(([begins]) => begins.test(lines[0]))?.[1] ?? paragraph)(lines));
  }
  return made;
}

function takeWhile(lines, holds) {
  const end = lines.findIndex((line) => !holds(line));
  return lines.splice(0, end === -1 ? lines.length : end);
}

function fence(lines) {
  lines.shift();
  const code = takeWhile(lines, (line) => !line.startsWith("```"));
  lines.shift();
  return preformatted(code);
}

function indented(lines) {
  return preformatted(takeWhile(lines, (line) => line.startsWith("    ")).map((line) => line.slice(4)));
}

function preformatted(lines) {
  return element("pre", { tabIndex: 0 }, element("code", {}, lines.join("\n")));
}

function heading(lines) {
  const [, marks, text] = lines.shift().match(/^(#+) (.*)/);
  return element(`h${marks.length}`, {}, ...inline(text));
}

function table(lines) {
  const rows = takeWhile(lines, (line) => line.startsWith("|")).map((line) =>
    line
      .replace(/^\||\|\s*$/g, "")
      .split("|")
      .map((cell) => cell.trim()),
  );
  const [head, , ...body] = rows;
  const row = (cells, tag) => element("tr", {}, ...cells.map((cell) => element(tag, {}, ...inCell(cell))));
  const made = element(
    "table",
    {},
    element("thead", {}, row(head, "th")),
    element("tbody", {}, ...body.map((cells) => row(cells, "td"))),
  );
  return element(
    "div",
    { className: "table", tabIndex: 0, role: "region", ariaLabel: `Table of ${head[0]}` },
    made,
  );
}

function inCell(text) {
  return COLOR.test(text) ? [swatch(text), element("code", {}, text)] : inline(text);
}

function list(lines, tag, begins) {
  const made = element(tag);
  while (lines.length > 0 && begins.test(lines[0])) {
    const first = lines.shift().replace(begins, "");
    const rest = takeWhile(lines, (line) => /^\s+\S/.test(line));
    made.append(element("li", {}, ...inline([first, ...rest.map((line) => line.trim())].join(" "))));
  }
  return made;
}

function paragraph(lines) {
  const text = [
    lines.shift(),
    ...takeWhile(lines, (line) => line.trim() !== "" && !BLOCKS.some(([begins]) => begins.test(line))),
  ];
  return element("p", {}, ...inline(text.join(" ")));
}

function inline(text) {
  const made = [];
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    const [whole, code, strong, emphasis, label, target, address] = found;
    made.push(text.slice(end, found.index));
    if (code !== undefined) made.push(element("code", {}, code));
    else if (strong !== undefined) made.push(element("strong", {}, strong));
    else if (emphasis !== undefined) made.push(element("em", {}, emphasis));
    else made.push(element("a", { href: target ?? address, rel: "noreferrer" }, label ?? address));
    end = found.index + whole.length;
  }
  return [...made, text.slice(end)].filter((part) => part !== "");
}
