#include "arguments.h"

#include <functional>
#include <map>
#include <stdexcept>

#include "model_facts.h"

const char* const usage =
    "usage: chat [PROMPT] [options]\n"
    "\n"
    "Answers PROMPT, or chats if there is none: a line is a message, /reset begins anew, /exit ends.\n"
    "\n"
    "  --system TEXT           the system message\n"
    "  --raw                   continue PROMPT as it is, without the chat template\n"
    "  --ids                   PROMPT is token ids; print the answer's ids\n"
    "  --max-tokens N          most tokens of an answer\n"
    "  --temperature T         0: always the most likely token\n"
    "  --top-k K, --top-p P, --min-p P, --repetition-penalty R\n"
    "  --seed N                makes sampling reproducible\n"
    "  --stop TEXT             ends an answer; may be repeated\n"
    "  --threads N             of the CPU\n"
    "  --model DIR             folder of the model's files\n"
    "  --stats                 print tokens per second\n";

namespace {

double number(const std::string& name, const std::string& text, double low, double high) {
  size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || !(value >= low && value <= high)) {
    throw std::invalid_argument(name + " cannot be '" + text + "'");
  }
  return value;
}

int64_t whole(const std::string& name, const std::string& text, int64_t low) {
  if (text.empty() || text.size() > 18 ||
      text.find_first_not_of("0123456789") != std::string::npos || std::stoll(text) < low) {
    throw std::invalid_argument(
        name + " takes a whole number of at least " + std::to_string(low) + ", not '" + text + "'");
  }
  return std::stoll(text);
}

} // namespace

Arguments parsed(int argc, char** argv) {
  Arguments found;
  auto& sampling = found.sampling = facts::sampling;
  using Text = const std::string&;
  const std::map<std::string, std::function<void(Text, Text)>> with_value = {
      {"--model", [&](Text, Text v) { found.model = v; }},
      {"--system", [&](Text, Text v) { found.system = v; }},
      {"--stop", [&](Text, Text v) { found.stop.push_back(v); }},
      {"--max-tokens", [&](Text n, Text v) { sampling.max_new_tokens = whole(n, v, 1); }},
      {"--temperature", [&](Text n, Text v) { sampling.temperature = number(n, v, 0, 1e30); }},
      {"--top-k", [&](Text n, Text v) { sampling.top_k = whole(n, v, 0); }},
      {"--top-p", [&](Text n, Text v) { sampling.top_p = number(n, v, 1e-9, 1); }},
      {"--min-p", [&](Text n, Text v) { sampling.min_p = number(n, v, 0, 1); }},
      {"--repetition-penalty",
       [&](Text n, Text v) { sampling.repetition_penalty = number(n, v, 1e-30, 1e30); }},
      {"--seed", [&](Text n, Text v) { found.seed = whole(n, v, 0); }},
      {"--threads",
       [&](Text n, Text v) { found.threads = static_cast<uint32_t>(whole(n, v, 1)); }},
  };
  const std::map<std::string, bool*> switches = {
      {"--raw", &found.raw},     {"--ids", &found.ids}, {"--stats", &found.stats},
      {"--help", &found.help},   {"-h", &found.help}};
  bool options = true;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (options && word == "--") {
      options = false;
    } else if (const auto flag = switches.find(word); options && flag != switches.end()) {
      *flag->second = true;
    } else if (const auto taker = with_value.find(word); options && taker != with_value.end()) {
      if (++i == argc) {
        throw std::invalid_argument(word + " needs a value");
      }
      taker->second(word, argv[i]);
    } else if (options && word.size() > 1 && word[0] == '-') {
      throw std::invalid_argument("there is no option " + word);
    } else if (found.prompt) {
      throw std::invalid_argument("more than one prompt: put it in quotes");
    } else {
      found.prompt = word;
    }
  }
  if (!facts::has_chat && !found.system.empty()) {
    throw std::invalid_argument("--system: the model has no chat template that this program knows");
  }
  return found;
}
