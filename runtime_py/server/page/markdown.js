// Markdown of an answer as a DOM fragment. What a model writes is not trusted: its HTML is shown as
// text, images are not loaded, and the result is sanitised.

import { Marked } from "./vendor/marked.esm.js";
import { button, copied } from "./dom.js";

const escaped = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escaped(text),
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
  },
});

const RULES = {
  ALLOWED_TAGS: ["a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6",
    "hr", "input", "li", "ol", "p", "pre", "strong", "table", "tbody", "td", "th", "thead", "tr",
    "ul"],
  ALLOWED_ATTR: ["align", "checked", "class", "disabled", "href", "start", "type"],
  ALLOWED_URI_REGEXP: /^(https?|mailto):/i,
  ADD_URI_SAFE_ATTR: ["align", "checked", "disabled", "start", "type"], // the others are addresses
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

export function rendered(text) {
  let fragment;
  try {
    fragment = window.DOMPurify.sanitize(marked.parse(text), RULES);
  } catch {
    fragment = document.createDocumentFragment();
    fragment.append(text);
  }
  for (const link of fragment.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const box of fragment.querySelectorAll("input")) {
    if (box.type !== "checkbox") box.remove();
    box.disabled = true;
  }
  for (const code of fragment.querySelectorAll("pre > code")) code.parentNode.replaceWith(block(code));
  for (const table of fragment.querySelectorAll("table")) {
    const around = document.createElement("div");
    around.className = "wide-table";
    around.tabIndex = 0;
    table.replaceWith(around);
    around.append(table);
  }
  return fragment;
}

function block(code) {
  const around = document.createElement("div");
  around.className = "code";
  const head = document.createElement("div");
  head.className = "code-head";
  const language = /language-([\w+#.-]+)/.exec(code.className);
  const name = document.createElement("span");
  name.textContent = language ? language[1] : "text";
  const copy = button("copy", "Copy the code");
  copy.addEventListener("click", () => copied(copy, code.textContent.trimEnd()));
  head.append(name, copy);
  const pre = document.createElement("pre");
  pre.tabIndex = 0;
  pre.append(code);
  around.append(head, pre);
  return around;
}
