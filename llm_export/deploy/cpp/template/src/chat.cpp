#include "chat.h"

#include <algorithm>
#include <stdexcept>

#include "model_facts.h"
#include "utf8.h"

namespace {

// What Jinja's trim removes.
bool is_space(uint32_t code) {
  return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
      code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
      code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

std::string trimmed(const std::string& text) {
  const CodePoints points(text);
  size_t first = 0, end = points.codes.size();
  while (first < end && is_space(points.codes[first])) {
    ++first;
  }
  while (end > first && is_space(points.codes[end - 1])) {
    --end;
  }
  return text.substr(points.starts[first], points.starts[end] - points.starts[first]);
}

std::string content_of(const Message& message) {
  auto text = message.content;
  if (facts::drops_reasoning && message.role == "assistant") {
    const std::string end = "</think>";
    if (const auto at = text.rfind(end); at != std::string::npos) {
      text.erase(0, at + end.size());
      text.erase(0, std::min(text.find_first_not_of('\n'), text.size()));
    }
  }
  if (facts::trims) {
    text = trimmed(text);
  }
  return text;
}

} // namespace

std::string chat_prompt(const std::vector<Message>& messages) {
  std::string prompt = messages.empty() || messages[0].role != "system" ? facts::chat_start : "";
  for (const auto& message : messages) {
    const facts::Turn* found = nullptr;
    for (const auto& turn : facts::turns) {
      found = message.role == turn.role ? &turn : found;
    }
    if (found == nullptr) {
      throw std::runtime_error("the chat template has no turn of the " + message.role);
    }
    prompt += found->prefix + content_of(message) + found->suffix;
  }
  return prompt + facts::generation_prompt;
}
