// Compares the tokenizer and the program with what llm_export found in Python:
//
//   check MODEL_FOLDER FILE [MOST_TOKENS]
//
// FILE has a line for each case: `text HEX IDS...`, the ids of a text, or `answer COUNT IDS...`, the
// COUNT ids of a prompt and the greedy ones that follow.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "generator.h"
#include "model_facts.h"
#include "table.h"

namespace {

using Ids = std::vector<int64_t>;

std::string joined(const Ids& ids) {
  std::string text;
  for (const auto id : ids) {
    text += " " + std::to_string(id);
  }
  return text;
}

bool same(const char* what, int line, const Ids& found, const Ids& expected) {
  if (found == expected) {
    return true;
  }
  std::fprintf(stderr, "line %d: %s differs\n  found   %s\n  expected%s\n", line, what,
               joined(found).c_str(), joined(expected).c_str());
  return false;
}

Ids answered(Generator& generator, const Ids& prompt, size_t count) {
  auto sampling = facts::sampling;
  sampling.temperature = 0;
  sampling.max_new_tokens = static_cast<int64_t>(count);
  return generator.generate(prompt, {sampling, 0, {}, nullptr}).ids;
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: check MODEL_FOLDER FILE [MOST_TOKENS]\n");
    return 2;
  }
  const std::string folder = argv[1];
  const size_t most = argc > 3 ? std::stoul(argv[3]) : 1000000;
  try {
    const Tokenizer tokenizer(folder + "/tokenizer.table");
    std::unique_ptr<Program> program;
    std::ifstream file(argv[2]);
    int line = 0, wrong = 0;
    for (std::string text; std::getline(file, text); ++line) {
      std::istringstream words(text);
      std::string kind, first;
      words >> kind >> first;
      Ids ids;
      for (int64_t id; words >> id;) {
        ids.push_back(id);
      }
      if (kind == "text") {
        wrong += !same("a text's ids", line + 1, tokenizer.encode(from_hex(first)), ids);
      } else if (kind == "answer") {
        const Ids prompt(ids.begin(), ids.begin() + std::stol(first));
        Ids rest(ids.begin() + std::stol(first), ids.end());
        rest.resize(std::min(rest.size(), most));
        if (!program) {
          const std::string data = *facts::data_file == 0 ? "" : folder + "/" + facts::data_file;
          program = std::make_unique<Program>(folder + "/model.pte", data);
        }
        Generator generator(*program, tokenizer);
        program->go_back(0);
        wrong += !same("an answer", line + 1, answered(generator, prompt, rest.size()), rest);
      }
    }
    if (line == 0) {
      std::fprintf(stderr, "there is nothing in %s\n", argv[2]);
      return 2;
    }
    std::printf("%d cases, %d wrong\n", line, wrong);
    return wrong == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
