// Compares the tokenizer and the program with what llm_export found in Python:
//
//   check MODEL_FOLDER FILE [MOST_TOKENS]
//
// FILE has a line for each case: `text HEX IDS...`, the ids of a text, or `answer COUNT IDS...`, the
// COUNT ids of a prompt and the greedy ones that follow. Kernels of another processor round
// otherwise, which may turn near ties: a few tokens may differ if their logits nearly do not.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "generator.h"
#include "log.h"
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

constexpr double most_different = 0.25; // share of the tokens
constexpr double near = 0.25; // distance of logits, in their standard deviations

Sampling greedy(size_t count) {
  return {0, 0, 1, 0, 1, static_cast<int64_t>(count)};
}

double deviation(const std::vector<float>& logits) {
  double sum = 0, squares = 0;
  for (const double value : logits) {
    sum += value;
    squares += value * value;
  }
  const double mean = sum / logits.size();
  return std::sqrt(std::max(squares / logits.size() - mean * mean, 1e-30));
}

// The most likely tokens behind what was found in Python.
bool answers_alike(Program& program, const Tokenizer& tokenizer, int line, const Ids& prompt,
                   const Ids& expected, bool whole) {
  program.go_back(0);
  auto logits = program.feed(prompt);
  size_t different = 0;
  double farthest = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto best = Sampler(greedy(1), 0, tokenizer.never(), {})(logits);
    if (best != expected[i]) {
      ++different;
      farthest = std::max<double>(
          farthest, (logits[best] - logits[expected[i]]) / deviation(logits));
    }
    if (i + 1 < expected.size()) {
      logits = program.feed({expected[i]});
    }
  }
  std::printf("check: %zu of %zu tokens as in Python", expected.size() - different,
              expected.size());
  if (different > 0) {
    std::printf("; the others' logits differ by up to %.3f standard deviations", farthest);
  }
  std::printf("\n");
  if (different > expected.size() * most_different || farthest > near) {
    std::fprintf(stderr, "line %d: an answer differs\n", line);
    return false;
  }
  program.go_back(0);
  Generator generator(program, tokenizer);
  const size_t count = whole ? expected.size() : std::min<size_t>(4, expected.size());
  const auto ids = generator.generate(prompt, {greedy(count), 0, {}, nullptr}).ids;
  return different > 0 ||
      same("a generated answer", line, ids, {expected.begin(), expected.begin() + count});
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: check MODEL_FOLDER FILE [MOST_TOKENS]\n");
    return 2;
  }
  const std::string folder = argv[1];
  const size_t most = argc > 3 ? std::stoul(argv[3]) : 1000000;
  log_errors_only();
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
        wrong += !answers_alike(*program, tokenizer, line + 1, prompt, rest, argc <= 3);
      }
    }
    if (line == 0) {
      std::fprintf(stderr, "there is nothing in %s\n", argv[2]);
      return 2;
    }
    std::printf("check: %d cases, %d wrong\n", line, wrong);
    return wrong == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
