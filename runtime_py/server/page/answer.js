// One answer of the model, as it is generated.

import { events } from "./api.js";
import { plain } from "./history.js";
import { parameters } from "./settings.js";

const PAUSE = 60; // ms between two drawings
const READING = "Reading";

// Stats have the names that the runtime's own have, so that a store's other readers know them.

// Fills `message` from the server; `draw` is called when there is more of it to show.
export async function ask(info, conversation, message, signal, draw) {
  const before = conversation.messages.slice(0, conversation.messages.indexOf(message));
  const system = conversation.system ? [{ role: "system", content: conversation.system }] : [];
  const asked = info.chat
    ? { messages: [...system, ...before.map(plain)] }
    : { prompt: before.map((each) => each.content).join("") };
  const body = {
    ...asked, ...parameters(conversation.settings), model: info.model, stream: true,
    stream_options: { include_usage: true },
  };
  const begun = performance.now();
  const stats = (message.stats = {});
  let drawn = 0;
  let pieces = 0;
  message.note = "";
  const queued = setTimeout(() => {
    message.note = "Other requests are answered first";
    draw();
  }, 1500);
  try {
    for await (const chunk of events(info.chat ? "v1/chat/completions" : "v1/completions", body, signal)) {
      if (chunk.usage) counted(stats, chunk.usage);
      if (chunk.timings?.predicted_per_second) stats.decode_tokens_per_second = chunk.timings.predicted_per_second;
      const choice = chunk.choices?.[0];
      if (!choice) continue;
      if (choice.finish_reason) stats.finish = choice.finish_reason;
      if (message.note !== READING) {
        clearTimeout(queued);
        message.note = READING;
        draw();
      }
      if (add(message, choice.delta || { content: choice.text })) {
        const now = performance.now();
        stats.time_to_first_token ??= (now - begun) / 1000;
        pieces += 1;
        stats.live = pieces > 4 ? (1000 * (pieces - 1)) / (now - begun - 1000 * stats.time_to_first_token) : 0;
        if (message.reasoning_content && !message.content) stats.thought_seconds = (now - begun) / 1000;
        if (now - drawn > PAUSE) {
          drawn = now;
          draw();
          await new Promise((later) => setTimeout(later));
        }
      }
    }
  } finally {
    clearTimeout(queued);
    delete stats.live;
  }
}

function counted(stats, usage) {
  stats.prompt_tokens = usage.prompt_tokens;
  stats.generated_tokens = usage.completion_tokens;
  stats.cached_tokens = usage.prompt_tokens_details?.cached_tokens || 0;
}

// Adds a delta; returns whether it holds anything.
function add(message, delta) {
  const reasoning = delta.reasoning_content;
  if (reasoning) message.reasoning_content = (message.reasoning_content || "") + reasoning;
  if (delta.content) message.content += delta.content;
  for (const part of delta.tool_calls || []) {
    const calls = (message.tool_calls ??= []);
    const call = (calls[part.index ?? calls.length] ??= { id: "", type: "function", function: { name: "", arguments: "" } });
    if (part.id) call.id = part.id;
    if (part.function?.name) call.function.name = part.function.name;
    if (part.function?.arguments) call.function.arguments += part.function.arguments;
  }
  return Boolean(reasoning || delta.content || delta.tool_calls?.length);
}
