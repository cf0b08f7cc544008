// Elements, files and the clipboard: what the modules do with the document in more than one place.

export const byId = (id) => document.getElementById(id);

/** An element with properties and children; strings become text, so nothing from outside is read as HTML. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A swatch in a class's colour. */
export function swatch(color) {
  const made = element("span", { className: "swatch" });
  made.style.background = color;
  return made;
}

/** Save a blob as a file, as if a link to it had been clicked. */
export function save(blob, name) {
  const href = URL.createObjectURL(blob);
  element("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/** Copy the text of `source`; where the browser's clipboard is for https alone, by way of the selection. */
export async function copyText(source) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(source.textContent);
    return;
  }
  getSelection().selectAllChildren(source);
  document.execCommand("copy");
}
