// The list of conversations.

import { $, button, element } from "./dom.js";

// `acts`: what rows do: open, rename, remove, drawAgain.
export function drawConversations(listed, currentId, acts) {
  const wanted = $("find").value.trim().toLowerCase();
  const found = listed.filter((each) => each.title.toLowerCase().includes(wanted));
  $("conversations").replaceChildren(...found.map((each) => row(each, each.id === currentId, acts)));
  $("find").hidden = listed.length < 8;
}

function row(entry, isCurrent, acts) {
  const title = entry.title || "New conversation";
  const open = element("button", { type: "button", class: "conversation", title, "aria-current": isCurrent && "true" }, title);
  const made = element("li", {}, open,
    button("edit", `Rename “${title}”`, () => rename(made, entry, acts)),
    button("trash", `Delete “${title}”`, () => acts.remove(entry)));
  open.addEventListener("click", () => acts.open(entry.id));
  return made;
}

function rename(made, entry, acts) {
  const field = element("input", { type: "text", "aria-label": "Title", maxlength: 200 });
  field.value = entry.title;
  let over = false;
  const end = async (keepIt) => {
    if (over) return;
    over = true;
    const title = field.value.trim();
    if (keepIt && title && title !== entry.title) await acts.rename(entry, title);
    acts.drawAgain();
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") end(true);
    if (event.key === "Escape") end(false);
    event.stopPropagation();
  });
  field.addEventListener("blur", () => end(true));
  made.replaceChildren(field);
  field.select();
}
