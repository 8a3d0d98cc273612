// The page: what is shown, and what its buttons and keys do.

import { ask } from "./answer.js";
import { call, explained, setKey } from "./api.js";
import { $, button, count, element, say } from "./dom.js";
import { historyOf, newConversation } from "./history.js";
import { attached, listenForImages, taken } from "./images.js";
import { drawConversations } from "./list.js";
import { append, atEnd, drawThread, editor, scrollDown, update } from "./messages.js";
import * as settings from "./settings.js";
import { switchTheme } from "./theme.js";

let info = null;
let history = null;
let current = newConversation();
let listed = [];

const acts = {
  edit(message) {
    if (current.abort) return;
    editor(message, (text) => {
      if (text === null) return $("text").focus();
      current.messages.splice(current.messages.indexOf(message));
      ask_(text, message.images);
    });
  },
  again(message) {
    if (current.abort) return;
    current.messages.splice(current.messages.indexOf(message));
    redraw();
    generate(current);
  },
  answer() {
    if (!current.abort) generate(current);
  },
  wantsResult(message, toolCall) {
    const after = current.messages.slice(current.messages.indexOf(message) + 1);
    return !after.some((each) => each.role !== "tool" || each.tool_call_id === toolCall.id);
  },
  result(toolCall, text) {
    current.messages.push({ role: "tool", content: text, tool_call_id: toolCall.id });
    const made = current.messages.findLast((each) => each.tool_calls?.length);
    const open = made.tool_calls.some((each) => acts.wantsResult(made, each));
    redraw();
    if (!open) generate(current);
  },
};

// --- conversations ---------------------------------------------------------------------------

function ask_(text, images = []) {
  current.messages.push({ role: "user", content: text, ...(images.length ? { images } : {}) });
  redraw();
  generate(current);
}

async function generate(conversation) {
  const message = { role: "assistant", content: "", running: true };
  conversation.messages.push(message);
  conversation.abort = new AbortController();
  notice(null);
  if (conversation === current) append(message, acts);
  buttons();
  let failure = null;
  await keep(conversation);
  try {
    await ask(info, conversation, message, conversation.abort.signal, () => {
      update(message);
      latest();
    });
  } catch (error) {
    if (error.name === "AbortError") message.stats.finish = "stopped";
    else {
      failure = error;
      if (message.stats) message.stats.finish = "error";
    }
  }
  delete message.running;
  delete conversation.abort;
  const empty = !message.content && !message.reasoning_content && !message.tool_calls?.length;
  if (empty && message.stats?.finish !== "stop") {
    conversation.messages.splice(conversation.messages.indexOf(message), 1);
  }
  if (conversation === current) {
    redraw(false);
    say(failure ? "" : message.stats?.finish === "stopped" ? "Stopped" : `Answer: ${message.content.slice(0, 300)}`);
    if (failure) {
      failed(failure, () => {
        const index = conversation.messages.indexOf(message);
        if (index >= 0) conversation.messages.splice(index);
        if (conversation === current) redraw();
        generate(conversation);
      });
    }
  }
  buttons();
  await keep(conversation);
}

async function keep(conversation) {
  if (!conversation.messages.length) return;
  try {
    await history.save(conversation);
    await list();
  } catch (error) {
    failed(error, () => keep(conversation));
  }
}

async function list() {
  listed = await history.list();
  drawList();
}

function drawList() {
  drawConversations(listed, current.id, rows);
}

const rows = {
  open: (id) => opened(id),
  remove: (entry) => removed(entry),
  async rename(entry, title) {
    try {
      const conversation = entry.id === current.id ? current : await history.open(entry.id);
      await history.rename(conversation, title);
    } catch (error) {
      failed(error);
    }
  },
  drawAgain: () => list().catch((error) => failed(error)),
};

async function opened(id) {
  if (id !== current.id) {
    try {
      current = await history.open(id);
    } catch (error) {
      return failed(error);
    }
  }
  notice(null);
  redraw();
  side(false);
  if (!matchMedia("(max-width: 800px)").matches) $("text").focus();
}

async function removed(entry) {
  const title = entry.title || "New conversation";
  if (!confirm(`Delete “${title}”? It cannot be brought back.`)) return;
  try {
    if (entry.id === current.id) current.abort?.abort();
    await history.remove(entry.id);
    if (entry.id === current.id) fresh();
    await list();
  } catch (error) {
    failed(error);
  }
}

function fresh() {
  current = newConversation({ ...current.settings });
  notice(null);
  redraw();
  side(false);
  $("text").focus();
}

// --- what is shown ---------------------------------------------------------------------------

function redraw(down = true) {
  const stuck = down || atEnd();
  const top = $("thread").scrollTop;
  if (current.messages.length) drawThread(current, acts);
  else $("messages").replaceChildren(welcome());
  if (!stuck) requestAnimationFrame(() => ($("thread").scrollTop = top));
  drawList();
  meter();
  // So that the page opens it again when it is loaded anew.
  if (info?.store) window.history.replaceState(null, "", current.messages.length ? `#${current.id}` : location.pathname);
  buttons();
}

const IDEAS = ["What does a compiler do?", "Three ideas for a rainy day.",
  "Explain recursion to a child.", "A Python function that reverses a list."];

function welcome() {
  if (!info) return element("p", { class: "welcome quiet" }, "");
  const ideas = element("div", { class: "ideas" }, ...IDEAS.map((text) => {
    const idea = element("button", { type: "button" }, text);
    idea.addEventListener("click", () => ask_(text));
    return idea;
  }));
  return element("div", { class: "welcome" }, element("h2", {}, info.chat ? "What would you like to ask?" : "Begin a text"),
    element("p", { class: "quiet" }, info.chat
      ? [info.model, info.parameters ? `${millions(info.parameters)} parameters` : null,
        `${count(info.context)} tokens of context`].filter(Boolean).join(" · ")
      : "This model has no chat template: it continues what you write."),
    info.chat ? ideas : null);
}

function millions(number) {
  return number >= 1e9 ? `${(number / 1e9).toPrecision(3)} billion` : `${(number / 1e6).toPrecision(3)} million`;
}

function meter() {
  const stats = current.messages.findLast((each) => each.stats?.prompt_tokens)?.stats;
  const used = stats ? stats.prompt_tokens + (stats.generated_tokens || 0) : 0;
  const most = info?.context || 1;
  $("meter").hidden = !info;
  $("meter").setAttribute("aria-valuenow", used);
  $("meter").setAttribute("aria-valuemax", most);
  $("meter").setAttribute("aria-valuetext", `${count(used)} of ${count(most)} tokens`);
  $("meter").classList.toggle("full", used > 0.85 * most);
  $("meter-bar").style.inlineSize = `${Math.min(100, (100 * used) / most)}%`;
  $("meter-text").textContent = `${count(used)} / ${count(most)}`;
}

function buttons() {
  const running = Boolean(current.abort);
  $("send-icon").setAttribute("href", running ? "#i-stop" : "#i-send");
  $("send").setAttribute("aria-label", running ? "Stop" : "Send");
  $("send").title = running ? "Stop (Esc)" : "Send (Enter)";
  $("send").disabled = !info || (!running && !$("text").value.trim() && !attached());
}

function latest() {
  $("latest").hidden = atEnd();
}

function notice(content) {
  $("notice").replaceChildren(...(content ? [content] : []));
}

// Says in plain words what went wrong, with a button that helps.
function failed(error, retry) {
  const [what, help, act] = explained(error);
  const card = element("div", { class: "notice" }, element("div", {}, element("strong", {}, what), " ", help));
  const does = {
    retry: ["Try again", retry],
    new: ["New conversation", fresh],
    settings: ["Settings", openSettings],
    key: ["Enter the key", () => askKey(retry)],
  }[act];
  if (does?.[1]) {
    const go = element("button", { type: "button" }, does[0]);
    go.addEventListener("click", () => {
      notice(null);
      does[1]();
    });
    card.append(go);
  }
  card.append(button("close", "Dismiss", () => notice(null)));
  notice(card);
  if (act === "key") askKey(retry);
}

function side(open) {
  document.body.classList.toggle("side-open", open);
  $("side-open").setAttribute("aria-expanded", String(open));
  $("scrim").hidden = !open;
  const drawer = matchMedia("(max-width: 800px)").matches;
  $("sidebar").inert = drawer && !open;
  if (open && drawer) $("new").focus();
}

// --- dialogs ---------------------------------------------------------------------------------

function openSettings() {
  settings.load(current);
  $("settings").showModal();
}

function about() {
  const facts = {
    Model: info.model, Parameters: info.parameters ? millions(info.parameters) : null, Context: `${count(info.context)} tokens`,
    Vocabulary: `${count(info.vocabulary)} tokens`, Program: info.program_bytes ? `${(info.program_bytes / 1e6).toFixed(1)} MB` : null,
    Backends: info.backends.join(", ") || "not delegated", ExecuTorch: info.executorch,
  };
  $("facts").replaceChildren(...Object.entries(facts).filter(([, value]) => value)
    .flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  $("model-dialog").showModal();
}

let afterKey = null;

function askKey(then) {
  afterKey = then;
  $("key").value = "";
  if (!$("key-dialog").open) $("key-dialog").showModal();
}

// --- events ----------------------------------------------------------------------------------

function submit() {
  if (current.abort) return current.abort.abort();
  const text = $("text").value.trim();
  if ((!text && !attached()) || !info) return;
  $("text").value = "";
  grow();
  ask_(text, taken());
}

function grow() {
  const field = $("text");
  field.style.blockSize = "auto";
  field.style.blockSize = `${Math.min(field.scrollHeight, innerHeight * 0.4)}px`;
  buttons();
}

function listen() {
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  listenForImages(() => info?.sees, buttons, failed);
  $("text").addEventListener("input", grow);
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!current.abort) submit();
    } else if (event.key === "ArrowUp" && !$("text").value) {
      const last = current.messages.findLast((each) => each.role === "user");
      if (last) {
        event.preventDefault();
        acts.edit(last);
      }
    }
  });
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") {
      if (current.abort) current.abort.abort();
      else side(false);
    } else if (event.altKey && !event.ctrlKey && !event.metaKey) {
      const does = { KeyN: fresh, KeyS: openSettings, KeyR: () => {
        const last = current.messages.at(-1);
        if (last?.role === "assistant") acts.again(last);
      } }[event.code];
      if (does && info) {
        event.preventDefault();
        does();
      }
    }
  });
  $("thread").addEventListener("scroll", latest, { passive: true });
  $("latest").addEventListener("click", () => scrollDown());
  $("new").addEventListener("click", fresh);
  $("find").addEventListener("input", drawList);
  $("side-open").addEventListener("click", () => side(!document.body.classList.contains("side-open")));
  $("side-close").addEventListener("click", () => side(false));
  $("scrim").addEventListener("click", () => side(false));
  $("about").addEventListener("click", () => info && about());
  $("settings-open").addEventListener("click", () => info && openSettings());
  $("s-reset").addEventListener("click", settings.clear);
  $("settings").querySelector("form").addEventListener("submit", (event) => {
    const wrong = settings.store(current);
    $("settings-error").textContent = wrong;
    if (wrong) event.preventDefault();
    else keep(current);
  });
  $("settings").addEventListener("cancel", () => settings.store(current) || keep(current));
  $("key-form").addEventListener("submit", () => {
    setKey($("key").value.trim());
    notice(null);
    (afterKey || start)();
  });
  $("theme").addEventListener("click", switchTheme);
  matchMedia("(max-width: 800px)").addEventListener("change", () => side(false));
}

async function start() {
  try {
    info = await call("api/info");
  } catch (error) {
    if (error.code === "loading") {
      $("model").textContent = "loading the model…";
      setTimeout(start, 1000);
    } else failed(error, start);
    return;
  }
  $("model").textContent = info.model;
  document.title = `${info.model} · chat`;
  $("text").placeholder = info.chat ? "Message" : "Text to continue";
  $("thinking-field").hidden = !info.thinking;
  $("attach").hidden = !info.sees;
  history = historyOf(info);
  $("kept").replaceChildren(...history.kept);
  settings.build(info.sampling);
  const wanted = location.hash.slice(1);
  redraw();
  await list().catch((error) => failed(error, start));
  if (info.store && listed.some((each) => each.id === wanted)) await opened(wanted);
  if (matchMedia("(min-width: 801px)").matches) $("text").focus();
}

listen();
side(false);
start();
