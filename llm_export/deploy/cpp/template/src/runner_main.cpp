// The chat on ExecuTorch's LLM runner, which samples by temperature alone and feeds the whole
// conversation for each answer.

#include <cstdio>
#include <exception>
#include <iostream>
#include <stdexcept>

#include <executorch/extension/llm/runner/llm_runner_helper.h>
#include <executorch/extension/llm/runner/text_llm_runner.h>

#include "arguments.h"
#include "chat.h"
#include "model_facts.h"
#include "threads.h"

namespace et = executorch::extension::llm;

namespace {

std::string answer(et::TextLLMRunner& runner, const std::string& prompt, const Arguments& said) {
  et::GenerationConfig config;
  config.echo = false;
  config.max_new_tokens = static_cast<int32_t>(said.sampling.max_new_tokens);
  config.temperature = static_cast<float>(said.sampling.temperature);
  config.num_bos = said.raw && facts::bos_id >= 0 ? 1 : 0;
  runner.reset();
  std::string text;
  const auto error = runner.generate(prompt, config, [&](const std::string& piece) {
    text += piece;
    std::cout << piece << std::flush;
  });
  std::cout << std::endl;
  if (error != executorch::runtime::Error::Ok) {
    throw std::runtime_error(
        "the program failed (ExecuTorch's error " + std::to_string(static_cast<int>(error)) + ")");
  }
  return text;
}

} // namespace

int main(int argc, char** argv) {
  try {
    auto said = parsed(argc, argv);
    if (said.help) {
      std::fputs(usage, stdout);
      return 0;
    }
    if (said.ids || !said.stop.empty()) {
      throw std::invalid_argument("ExecuTorch's runner has neither --ids nor --stop");
    }
    said.raw = said.raw || !facts::has_chat;
    const std::string folder = said.model.empty() ? MODEL_FOLDER : said.model;
    if (said.threads > 0) {
      set_threads(said.threads);
    }
    std::vector<std::string> data;
    if (*facts::data_file != 0) {
      data.push_back(folder + "/" + facts::data_file);
    }
    auto runner = et::create_text_llm_runner(
        folder + "/model.pte", et::load_tokenizer(folder + "/tokenizer.json"), data);
    if (runner == nullptr || runner->load() != executorch::runtime::Error::Ok) {
      throw std::runtime_error("the model in " + folder + " cannot be loaded");
    }
    std::vector<Message> messages;
    if (!said.system.empty()) {
      messages.push_back({"system", said.system});
    }
    const auto say = [&](const std::string& text) {
      if (said.raw) {
        answer(*runner, text, said);
        return;
      }
      messages.push_back({"user", text});
      messages.push_back({"assistant", answer(*runner, chat_prompt(messages), said)});
    };
    if (said.prompt) {
      say(*said.prompt);
      return 0;
    }
    for (std::string line; std::cout << "> " << std::flush, std::getline(std::cin, line);) {
      if (line == "/exit") {
        break;
      }
      say(line);
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
