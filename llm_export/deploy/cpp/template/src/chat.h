// A conversation as the model's chat template writes it.
#pragma once

#include <string>
#include <vector>

struct Message {
  std::string role, content;
};

// The prompt for the next answer. Throws std::runtime_error for a role that the template lacks.
std::string chat_prompt(const std::vector<Message>& messages);
