// Text of token ids, piece by piece.
#pragma once

#include <string>
#include <vector>

#include "tokenizer.h"

// Holds bytes back while they may be the beginning of a character.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer)
      : tokenizer_(tokenizer), strip_(tokenizer.strip()) {}

  std::string push(int64_t id);
  std::string flush();

 private:
  const Tokenizer& tokenizer_;
  std::string held_;
  int strip_;
};

// Ends a text at the first stop string; holds text back while it may be the start of one.
class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> stop);

  std::string push(const std::string& text);
  std::string flush();
  bool found() const {
    return found_;
  }

 private:
  std::vector<std::string> stop_;
  std::string held_;
  bool found_ = false;
};
