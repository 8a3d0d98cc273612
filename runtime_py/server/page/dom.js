// Small helpers to build elements. Text goes in as text, never as HTML.

export const $ = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

export function button(name, label, action) {
  const made = element("button", { type: "button", class: "icon small", "aria-label": label, title: label }, icon(name));
  if (action) made.addEventListener("click", action);
  return made;
}

export async function copied(from, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https the clipboard is only reached this way.
    const field = element("textarea", { class: "hidden" });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    from.focus();
  }
  const use = from.querySelector("use");
  const before = use.getAttribute("href");
  use.setAttribute("href", "#i-done");
  say("Copied");
  setTimeout(() => use.setAttribute("href", before === "#i-done" ? "#i-copy" : before), 1500);
}

export function say(text) {
  $("status").textContent = text;
}

export function count(number) {
  return number.toLocaleString("en-US");
}
