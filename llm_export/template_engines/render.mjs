// Renders conversations with @huggingface/jinja. In: a JSON object on standard input. Out: lines
// [source, case, text or null, refusal].
import { readFileSync, writeSync } from "node:fs";
import { Template } from "./vendor/huggingface-jinja.mjs";

const { sources, cases, now, max_text: most } = JSON.parse(readFileSync(0, "utf8"));

const Clock = Date;
globalThis.Date = class extends Clock {
  constructor(...given) {
    super(...(given.length ? given : [now + "Z"]));
  }
};

// A pipe takes what it has room for.
function write(row) {
  const bytes = Buffer.from(JSON.stringify(row) + "\n");
  for (let sent = 0; sent < bytes.length; ) {
    try {
      sent += writeSync(1, bytes, sent);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

function attempt(work) {
  try {
    const text = work();
    if (text.length > most) return [null, `it makes more than ${most} characters`];
    return [text, ""];
  } catch (error) {
    return [null, String(error?.message ?? error)];
  }
}

sources.forEach((source, i) => {
  let template;
  const [, refusal] = attempt(() => ((template = new Template(source)), ""));
  cases.forEach((given, j) => {
    write([i, j, ...(template ? attempt(() => template.render(given)) : [null, refusal])]);
  });
});
