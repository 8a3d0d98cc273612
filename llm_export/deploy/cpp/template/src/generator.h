// Answers prompts with a program, on one cache.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "program.h"
#include "sampler.h"
#include "tokenizer.h"

struct Answer {
  std::string text;
  std::vector<int64_t> ids;
  std::string end; // eos, stop, length or context
  int64_t prompt_tokens = 0, cached_tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;
};

struct Request {
  Sampling sampling;
  uint64_t seed;
  std::vector<std::string> stop; // strings that end the answer and are no part of it
  std::function<void(const std::string&)> on_text; // gets each piece of text
};

class Generator {
 public:
  Generator(Program& program, const Tokenizer& tokenizer)
      : program_(program), tokenizer_(tokenizer) {}

  // For a prompt that begins as the last one did, only the rest is fed. Throws std::runtime_error
  // for a prompt that is empty or does not fit.
  Answer generate(const std::vector<int64_t>& prompt, const Request& request);

 private:
  std::vector<float> feed_prompt(const std::vector<int64_t>& prompt, Answer& answer);

  Program& program_;
  const Tokenizer& tokenizer_;
  std::vector<int64_t> cached_; // ids that the program has been fed
};
