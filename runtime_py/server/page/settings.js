// The dialog with the settings of a conversation. They are empty where the bundle's own hold.

import { $, element } from "./dom.js";

const NUMBERS = [
  ["temperature", "Temperature", 0, 5, 0.05, "0 takes the likeliest token"],
  ["top_p", "Top-p", 0, 1, 0.01, "the likeliest tokens that have this probability together"],
  ["top_k", "Top-k", 0, 1000000, 1, "so many of the likeliest tokens; 0: all"],
  ["min_p", "Min-p", 0, 1, 0.01, "tokens with this share of the likeliest one's probability"],
  ["repetition_penalty", "Repetition penalty", 0.1, 5, 0.05, "above 1: repeats less"],
  ["max_new_tokens", "Max tokens", 1, 1000000, 1, "length of an answer"],
  ["seed", "Seed", 0, 9007199254740991, 1, "the same seed gives the same answer"],
];

export function build(defaults) {
  $("numbers").replaceChildren(...NUMBERS.map(([name, label, min, max, step, help]) => {
    const own = { seed: "random", max_new_tokens: "no limit" }[name] ?? defaults[name] ?? "–";
    return element("label", { class: "field number", title: help }, label,
      element("input", { type: "number", id: `s-${name}`, min, max, step: "any", inputmode: step === 1 ? "numeric" : "decimal",
        placeholder: own, "aria-describedby": `h-${name}` }),
      element("small", { id: `h-${name}`, class: "quiet" }, help));
  }));
}

export function load(conversation) {
  $("s-system").value = conversation.system || "";
  for (const [name] of NUMBERS) $(`s-${name}`).value = conversation.settings[name] ?? "";
  $("s-thinking").value = { true: "on", false: "off" }[conversation.settings.thinking] ?? "";
  $("s-tools").value = conversation.settings.tools ? JSON.stringify(conversation.settings.tools, null, 2) : "";
  $("settings-error").textContent = "";
}

// Writes the fields into the conversation; returns what is wrong with them, or "".
export function store(conversation) {
  const settings = {};
  for (const [name, label, min, max, step] of NUMBERS) {
    const field = $(`s-${name}`);
    if (field.validity.badInput) return `${label} must be a number.`;
    if (field.value === "") continue;
    const value = Number(field.value);
    if (value < min || value > max) return `${label} must be from ${min} to ${max}.`;
    if (step === 1 && !Number.isInteger(value)) return `${label} must be a whole number.`;
    settings[name] = value;
  }
  if ($("s-thinking").value) settings.thinking = $("s-thinking").value === "on";
  if ($("s-tools").value.trim()) {
    try {
      settings.tools = JSON.parse($("s-tools").value);
    } catch (error) {
      return `The tools are not valid JSON: ${error.message}`;
    }
    if (!Array.isArray(settings.tools)) return "The tools must be a JSON list.";
  }
  conversation.system = $("s-system").value.trim();
  conversation.settings = settings;
  return "";
}

export function clear() {
  for (const field of $("settings").querySelectorAll("input, textarea, select")) field.value = "";
  $("settings-error").textContent = "";
}

// The parameters of a request.
export function parameters(settings) {
  const given = {};
  for (const [name] of NUMBERS) if (settings[name] !== undefined) given[name] = settings[name];
  if (given.max_new_tokens !== undefined) {
    given.max_tokens = given.max_new_tokens;
    delete given.max_new_tokens;
  }
  if (settings.tools?.length) given.tools = settings.tools;
  if (settings.thinking !== undefined) given.chat_template_kwargs = { enable_thinking: settings.thinking };
  return given;
}
