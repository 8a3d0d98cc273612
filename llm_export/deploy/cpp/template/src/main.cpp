// A chat on the command line.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <random>
#include <sstream>
#include <stdexcept>

#include <unistd.h>

#include "arguments.h"
#include "chat.h"
#include "generator.h"
#include "log.h"
#include "model_facts.h"
#include "threads.h"
#include "tokenizer.h"

namespace {

namespace fs = std::filesystem;

// The folder of the model's files: beside the program, where it was installed, or of the project.
std::string model_folder(const std::string& program) {
  const auto here = fs::absolute(program).parent_path();
  for (const auto& folder : {here / "model", here.parent_path() / "model"}) {
    if (fs::exists(folder / "model.pte")) {
      return folder.string();
    }
  }
  return MODEL_FOLDER;
}

std::vector<int64_t> numbers(const std::string& text) {
  std::istringstream words(text);
  std::vector<int64_t> ids;
  for (int64_t id; words >> id;) {
    ids.push_back(id);
  }
  if (!words.eof()) {
    throw std::invalid_argument("--ids takes numbers, not '" + text + "'");
  }
  return ids;
}

void print(const std::string& text) {
  std::cout << text << std::flush;
}

class Session {
 public:
  explicit Session(const Arguments& arguments)
      : arguments_(arguments),
        tokenizer_((fs::path(arguments.model) / "tokenizer.table").string()),
        program_((fs::path(arguments.model) / "model.pte").string(), data_file()),
        generator_(program_, tokenizer_) {}

  void answer_ids(const std::string& prompt) {
    const auto answer = generator_.generate(numbers(prompt), request(nullptr));
    for (const auto id : answer.ids) {
      std::cout << id << ' ';
    }
    std::cout << '\n';
    tell(answer);
  }

  void continue_text(const std::string& text) {
    auto ids = tokenizer_.encode(text);
    if (facts::bos_id >= 0 && (ids.empty() || ids[0] != facts::bos_id)) {
      ids.insert(ids.begin(), facts::bos_id);
    }
    run(ids);
  }

  void begin() {
    messages_.clear();
    if (!arguments_.system.empty()) {
      messages_.push_back({"system", arguments_.system});
    }
  }

  void say(const std::string& text) {
    messages_.push_back({"user", text});
    try {
      const auto answer = run(tokenizer_.encode(chat_prompt(messages_)));
      messages_.push_back({"assistant", answer.text});
    } catch (...) {
      messages_.pop_back();
      throw;
    }
  }

 private:
  std::string data_file() const {
    return *facts::data_file == 0 ? "" : (fs::path(arguments_.model) / facts::data_file).string();
  }

  Request request(std::function<void(const std::string&)> on_text) const {
    const uint64_t seed = arguments_.seed ? *arguments_.seed : std::random_device{}();
    return {arguments_.sampling, seed, arguments_.stop, std::move(on_text)};
  }

  Answer run(const std::vector<int64_t>& ids) {
    auto answer = generator_.generate(ids, request(print));
    std::cout << std::endl;
    if (answer.end == "context") {
      std::fprintf(stderr, "(the context of %lld tokens is full)\n",
                   static_cast<long long>(facts::context_length));
    }
    tell(answer);
    return answer;
  }

  void tell(const Answer& answer) const {
    if (arguments_.stats) {
      const auto fed = answer.prompt_tokens - answer.cached_tokens;
      const auto made = static_cast<int64_t>(answer.ids.size());
      std::fprintf(
          stderr, "(%lld tokens of the prompt, %lld from the cache, %.1f/s; %lld new, %.1f/s; %s)\n",
          static_cast<long long>(answer.prompt_tokens),
          static_cast<long long>(answer.cached_tokens), fed / answer.prefill_seconds,
          static_cast<long long>(made), made / std::max(answer.decode_seconds, 1e-9),
          answer.end.c_str());
    }
  }

  const Arguments& arguments_;
  Tokenizer tokenizer_;
  Program program_;
  Generator generator_;
  std::vector<Message> messages_;
};

void converse(Session& session, bool raw) {
  const std::string ask = isatty(STDIN_FILENO) != 0 ? "> " : "";
  for (std::string line; print(ask), std::getline(std::cin, line);) {
    if (line == "/exit") {
      return;
    }
    if (line == "/reset") {
      session.begin();
    } else if (!line.empty()) {
      // A message that does not fit ends no conversation.
      try {
        raw ? session.continue_text(line) : session.say(line);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
      }
    }
  }
}

} // namespace

int main(int argc, char** argv) {
  try {
    auto arguments = parsed(argc, argv);
    if (arguments.help) {
      std::fputs(usage, stdout);
      return 0;
    }
    if (arguments.model.empty()) {
      arguments.model = model_folder(argv[0]);
    }
    log_errors_only();
    if (arguments.threads > 0) {
      set_threads(arguments.threads);
    }
    Session session(arguments);
    const bool raw = arguments.raw || !facts::has_chat;
    session.begin();
    if (!arguments.prompt) {
      converse(session, raw);
    } else if (arguments.ids) {
      session.answer_ids(*arguments.prompt);
    } else if (raw) {
      session.continue_text(*arguments.prompt);
    } else {
      session.say(*arguments.prompt);
    }
    return 0;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "error: %s\n\n%s", error.what(), usage);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
