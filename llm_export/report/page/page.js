"use strict";
// What all charts share. A chart draws into a figure that is hidden without scripts.
const data = JSON.parse(document.getElementById("data").textContent);

function element(name, attributes, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "click") made.addEventListener("click", value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...content);
  return made;
}

// Buttons of which one is pressed.
function choice(label, options, chosen, choose) {
  const group = element("div", { class: "choice", role: "group", "aria-label": label });
  for (const [value, text] of options) {
    const button = element("button", { type: "button", "aria-pressed": String(value === chosen) }, text);
    button.addEventListener("click", () => {
      for (const other of group.children) other.setAttribute("aria-pressed", String(other === button));
      choose(value);
    });
    group.append(button);
  }
  return group;
}

// Draw now, and whenever the width changes.
function drawn(figure, draw) {
  figure.hidden = false;
  let width = 0;
  const redraw = () => {
    const now = Math.floor(figure.clientWidth);
    if (now && now !== width) draw((width = now));
  };
  redraw();
  new ResizeObserver(redraw).observe(figure);
}

function openForPrint() {
  const closed = [];
  window.addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details:not([open])")) { one.open = true; closed.push(one); }
  });
  window.addEventListener("afterprint", () => { while (closed.length) closed.pop().open = false; });
}
