// Requests to the server, and its events.

const KEY = "llm-api-key";

export class ApiError extends Error {
  constructor(status, error = {}, retryAfter = null) {
    super(error.message || `the server answered with status ${status}`);
    this.status = status;
    this.code = error.code || "";
    this.retryAfter = retryAfter;
  }
}

export function setKey(key) {
  sessionStorage.setItem(KEY, key);
}

function headers(body) {
  const key = sessionStorage.getItem(KEY);
  return {
    ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    ...(key ? { Authorization: `Bearer ${key}` } : {}),
  };
}

async function request(path, { method = "GET", body, signal } = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      method, signal, headers: headers(body), cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { code: "unreachable", message: "the server does not answer" });
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new ApiError(answer.status, said.error, answer.headers.get("Retry-After"));
  }
  return answer;
}

export async function call(path, options) {
  const answer = await request(path, options);
  return answer.status === 204 ? null : answer.json();
}

// The data of server-sent events, until [DONE].
export async function* events(path, body, signal) {
  const answer = await request(path, { method: "POST", body, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, { code: "cut_off", message: "the connection ended" });
    }
    if (part.done) throw new ApiError(0, { code: "cut_off", message: "the connection ended" });
    rest += part.value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trimStart()).join("\n");
      if (data === "[DONE]") return;
      if (!data) continue;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ApiError(500, chunk.error);
      yield chunk;
    }
  }
}

// What to tell a person: [what happened, what to do, the action of a button].
export function explained(error) {
  const wait = error.retryAfter ? `in ${error.retryAfter} s` : "in a moment";
  const known = {
    unreachable: ["The server does not answer.",
      "Check that it is still running, then try again.", "retry"],
    cut_off: ["The connection ended before the answer was complete.",
      "The server may have been stopped. Try again.", "retry"],
    loading: ["The model is still being loaded.", "The page tries again by itself.", "retry"],
    queue_full: ["The server is busy: its queue is full.", `Try again ${wait}.`, "retry"],
    context_length_exceeded: ["The conversation is longer than the model's context.",
      "Begin a new one, or edit an earlier message to go on from there.", "new"],
    deadline_exceeded: ["The answer took longer than the server allows.",
      "Ask for less, or lower “Max tokens” in the settings.", "settings"],
    stopping: ["The server is being stopped.", "Start it again, then try again.", "retry"],
    invalid_api_key: ["The server wants another API key.", "Enter it to go on.", "key"],
    request_too_large: ["The message is larger than the server takes.", "Shorten it.", null],
    no_store: ["The server keeps no conversations.", "Start it with --store FILE.", null],
  }[error.code];
  if (known) return known;
  const what = error.message.charAt(0).toUpperCase() + error.message.slice(1);
  return [what.endsWith(".") ? what : `${what}.`, "", error.status === 400 ? "settings" : "retry"];
}
