#include "chat.h"

#include <stdexcept>

#include "model_facts.h"

namespace {

constexpr const char* white_space = " \t\n\v\f\r";

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
    text.erase(0, std::min(text.find_first_not_of(white_space), text.size()));
    text.erase(text.find_last_not_of(white_space) + 1);
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
