// Conversations: in the server's store, or in this page's memory where the server has none.

import { call } from "./api.js";
import { element } from "./dom.js";
import { contentOf, imagesOf } from "./images.js";

export function newConversation(settings = {}) {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  const id = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { id, title: "", updated: Date.now() / 1000, messages: [], system: "", settings };
}

export function titleOf(conversation) {
  if (conversation.title) return conversation.title;
  const first = conversation.messages.find((message) => message.role === "user");
  const words = first ? first.content.split(/\s+/).join(" ").trim() : "";
  return words.length > 60 ? `${words.slice(0, 59)}…` : words || "New conversation";
}

// A message as the API takes it; what only this page knows stays here.
export function plain(message) {
  const { role, reasoning_content, tool_calls, tool_call_id } = message;
  return {
    role, content: contentOf(message),
    ...(reasoning_content ? { reasoning_content } : {}),
    ...(tool_calls?.length ? { tool_calls } : {}),
    ...(tool_call_id ? { tool_call_id } : {}),
  };
}

class Memory {
  kept = ["Conversations are kept until this page is closed. A server that is started with ",
    element("code", { class: "nowrap" }, "--store FILE"), " keeps them."];
  #all = new Map();

  async list() {
    return [...this.#all.values()].sort((a, b) => b.updated - a.updated)
      .map(({ id, updated, ...rest }) => ({ id, updated, title: titleOf(rest) }));
  }

  async open(id) {
    return this.#all.get(id);
  }

  async save(conversation) {
    conversation.updated = Date.now() / 1000;
    this.#all.set(conversation.id, conversation);
  }

  async rename(conversation, title) {
    conversation.title = title;
  }

  async remove(id) {
    this.#all.delete(id);
  }
}

class Stored {
  kept = ["Conversations are kept in the server's store."];
  #opened = new Map();

  async list() {
    return (await call("api/sessions")).data;
  }

  async open(id) {
    if (this.#opened.get(id)?.abort) return this.#opened.get(id);
    const found = await call(`api/sessions/${encodeURIComponent(id)}`);
    const messages = found.messages.map(({ message, stats }) => {
      const images = imagesOf(message.content);
      return {
        ...message, content: textOf(message.content), ...(images.length ? { images } : {}),
        ...(stats ? { stats } : {}),
      };
    });
    const system = messages[0]?.role === "system" ? messages.shift().content : "";
    return { id, title: found.title, updated: found.updated, messages, system, settings: found.settings };
  }

  async save(conversation) {
    this.#opened.set(conversation.id, conversation);
    const { id, system, settings } = conversation;
    const messages = conversation.messages.filter((message) => !message.running);
    const first = system ? [{ role: "system", content: system }] : [];
    const stats = {};
    messages.forEach((message, index) => {
      if (message.stats) stats[index + first.length] = message.stats;
    });
    await call(`api/sessions/${encodeURIComponent(id)}`, {
      method: "PUT", body: { messages: [...first, ...messages.map(plain)], stats, settings },
    });
  }

  async rename(conversation, title) {
    conversation.title = title;
    await call(`api/sessions/${encodeURIComponent(conversation.id)}`, { method: "PATCH", body: { title } });
  }

  async remove(id) {
    this.#opened.delete(id);
    await call(`api/sessions/${encodeURIComponent(id)}`, { method: "DELETE" });
  }
}

function textOf(content) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((part) => (typeof part?.text === "string" ? part.text : "")).join("");
}

export function historyOf(info) {
  return info.store ? new Stored() : new Memory();
}
