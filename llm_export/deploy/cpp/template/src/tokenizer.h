// Text to token ids, by the table that `llm-export deploy` makes of a tokenizer.json.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "merges.h"
#include "nfc.h"
#include "pattern.h"

class Tokenizer {
 public:
  // Throws std::runtime_error for a file that cannot be read.
  explicit Tokenizer(const std::string& path);

  // Special tokens in the text are recognized; none is added.
  std::vector<int64_t> encode(const std::string& text) const;

  // The bytes that a token stands for: part of a character, perhaps. Empty for a special token.
  const std::string& piece(int64_t id) const;

  // Spaces that a text decoded from ids begins with and that are not its own.
  int strip() const {
    return strip_;
  }
  // Ids that no training has made improbable.
  const std::vector<int64_t>& never() const {
    return never_;
  }

 private:
  struct Part {
    std::string text;
    int64_t id; // of an added token; -1: a text
    bool first; // at the start of the whole text
  };
  struct Added {
    int64_t id;
    std::string text;
    bool normalized, strips_left, strips_right;
  };
  struct Step {
    enum class Kind { prepend, replace, split, lead, swap } kind;
    int pattern;
    std::string text;
    int behavior;
    bool flag;
  };

  void read_steps(Table& table, const char* section, std::vector<Step>& steps);
  void read_pieces(Table& table);
  std::vector<Part> without_added(const Part& part, bool normalized) const;
  const Added* added_at(std::string_view text, bool normalized) const;
  std::vector<Part> done(const Step& step, const Part& part) const;
  std::vector<Part> split(const Step& step, const Part& part) const;
  void encode_word(const std::string& word, std::vector<int64_t>& ids) const;

  std::vector<Pattern> patterns_;
  std::vector<Step> normalizers_, pretokenizers_;
  std::unordered_map<char, std::vector<Added>> added_; // by their first byte, the longest first
  std::vector<std::string> pieces_;
  std::unordered_map<std::string, int64_t> words_;
  Merges merges_;
  Nfc nfc_;
  std::vector<int64_t> never_;
  int strip_ = 0;
  bool of_bytes_ = false;
};
