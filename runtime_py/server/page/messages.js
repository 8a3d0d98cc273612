// The thread: one element for each message.

import { $, button, copied, count, element } from "./dom.js";
import { pictures } from "./images.js";
import { rendered } from "./markdown.js";

const shown = new WeakMap();

// `acts`: what the buttons of messages do: edit, again, answer, result; wantsResult: whether a call
// has no result yet.
export function drawThread(conversation, acts) {
  const last = conversation.messages.at(-1);
  $("messages").replaceChildren(
    ...conversation.messages.map((message) => drawn(message, message === last, acts)),
  );
  scrollDown(true);
}

export function append(message, acts) {
  for (const old of $("messages").querySelectorAll(".last")) old.classList.remove("last");
  $("messages").append(drawn(message, true, acts));
  scrollDown(true);
}

export function update(message) {
  const parts = shown.get(message);
  if (!parts?.article.isConnected) return;
  const stuck = atEnd();
  fill(message, parts);
  if (stuck) scrollDown();
}

function drawn(message, last, acts) {
  const of = message.role;
  const article = element("article", { class: `message ${of}${last ? " last" : ""}` });
  article.append(element("h2", { class: "hidden" }, { user: "You", assistant: "Model", tool: "Result of a tool" }[of] || of));
  const parts = { article, acts };
  if (of === "assistant") {
    parts.thought = element("details", { class: "thought", hidden: true });
    parts.thoughtHead = element("summary", {});
    parts.thoughtText = element("div", { class: "thought-text" });
    parts.thought.append(parts.thoughtHead, parts.thoughtText);
    parts.calls = element("div", { class: "calls" });
    article.append(parts.thought);
  }
  parts.body = element("div", { class: "body" });
  article.append(parts.body);
  if (parts.calls) article.append(parts.calls);
  parts.foot = element("div", { class: "foot" });
  article.append(parts.foot);
  shown.set(message, parts);
  fill(message, parts);
  return article;
}

function fill(message, parts) {
  const { article, body, foot, acts } = parts;
  article.classList.toggle("running", Boolean(message.running));
  if (message.role === "user") body.replaceChildren(...pictures(message), message.content);
  else if (message.role === "tool") {
    body.replaceChildren(element("span", { class: "quiet" }, "Result: "), message.content);
  } else {
    if (message.content) body.replaceChildren(rendered(message.content));
    else body.replaceChildren(...(message.running && !message.reasoning_content ? [waiting(message)] : []));
    fillThought(message, parts);
    fillCalls(message, parts);
  }
  foot.replaceChildren(...(message.running ? live(message) : footOf(message, parts)));
}

function waiting(message) {
  return element("span", { class: "waiting" }, element("i"), element("i"), element("i"),
    element("span", { class: "quiet" }, message.note || ""));
}

function fillThought(message, { thought, thoughtHead, thoughtText }) {
  thought.hidden = !message.reasoning_content;
  if (thought.hidden) return;
  const thinking = message.running && !message.content;
  const seconds = message.stats?.thought_seconds;
  thoughtHead.textContent = thinking ? "Thinking…" : seconds ? `Thought for ${seconds.toFixed(1)} s` : "Thought";
  thoughtText.replaceChildren(rendered(message.reasoning_content));
}

function fillCalls(message, { calls, acts }) {
  calls.replaceChildren(...(message.tool_calls || []).map((call) => {
    const card = element("div", { class: "call" },
      element("div", { class: "call-head" }, "Calls ", element("code", {}, call.function?.name || "")),
      element("pre", { tabindex: "0" }, pretty(call.function?.arguments)));
    if (!message.running && acts.wantsResult(message, call)) card.append(resultForm(call, acts));
    return card;
  }));
}

function resultForm(call, acts) {
  const field = element("textarea", { rows: 2, class: "mono", "aria-label": "Result of the call", placeholder: "Result of the call, as text or JSON" });
  const send = element("button", { type: "submit" }, "Send result");
  const form = element("form", { class: "result" }, field, send);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (field.value.trim()) acts.result(call, field.value.trim());
  });
  return form;
}

function pretty(text) {
  if (typeof text !== "string") return JSON.stringify(text ?? {}, null, 2);
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function footOf(message, { article, acts }) {
  const found = [];
  if (message.content) {
    const copy = button("copy", "Copy the text");
    copy.addEventListener("click", () => copied(copy, message.content));
    found.push(copy);
  }
  if (message.role === "user") found.push(button("edit", "Edit and ask again", () => acts.edit(message)));
  if (message.role !== "assistant" && article.classList.contains("last")) {
    found.push(button("again", "Answer", () => acts.answer()));
  }
  if (message.role === "assistant") {
    if (article.classList.contains("last")) found.push(button("again", "Answer again", () => acts.again(message)));
    found.push(element("span", { class: "stats quiet" }, ...speed(message)));
  }
  return found;
}

function live({ stats }) {
  return stats?.live ? [element("span", { class: "stats quiet" }, `${stats.live.toFixed(0)} tokens/s`)] : [];
}

const ENDS = { length: "cut off at the limit of tokens", stopped: "stopped", error: "broken off" };

function speed(message) {
  const { stats } = message;
  if (!stats) return [];
  const words = [];
  if (stats.decode_tokens_per_second) words.push(`${stats.decode_tokens_per_second.toFixed(1)} tokens/s`);
  if (stats.time_to_first_token) words.push(`first after ${stats.time_to_first_token.toFixed(2)} s`);
  if (stats.generated_tokens) words.push(`${count(stats.generated_tokens)} tokens`);
  if (stats.cached_tokens) words.push(`${count(stats.cached_tokens)} of ${count(stats.prompt_tokens)} prompt tokens cached`);
  if (ENDS[stats.finish]) words.push(ENDS[stats.finish]);
  return words.map((text) => element("span", {}, text));
}

// Replaces a message by a field with its text.
export function editor(message, done) {
  const { article, body, foot } = shown.get(message);
  const field = element("textarea", { class: "edit", "aria-label": "Edit the message" });
  field.value = message.content;
  const end = (text) => {
    fill(message, shown.get(message));
    article.classList.remove("editing");
    done(text);
  };
  const save = element("button", { type: "button", class: "main" }, "Ask again");
  const cancel = element("button", { type: "button" }, "Cancel");
  save.addEventListener("click", () => field.value.trim() && end(field.value.trim()));
  cancel.addEventListener("click", () => end(null));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      save.click();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      cancel.click();
    }
  });
  article.classList.add("editing");
  body.replaceChildren(field);
  foot.replaceChildren(cancel, save);
  field.rows = Math.min(12, field.value.split("\n").length + 1);
  field.focus();
}

export function atEnd() {
  const thread = $("thread");
  return thread.scrollHeight - thread.scrollTop - thread.clientHeight < 60;
}

export function scrollDown(now = false) {
  const thread = $("thread");
  if (now) requestAnimationFrame(() => (thread.scrollTop = thread.scrollHeight));
  else thread.scrollTop = thread.scrollHeight;
}
