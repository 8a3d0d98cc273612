// Runs the regular expressions of a tokenizer, which `llm-export deploy` has compiled to programs of
// a backtracking matcher.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "table.h"

// Code points, as sorted ranges.
using CharacterClass = std::vector<std::pair<uint32_t, uint32_t>>;
using CharacterClasses = std::vector<CharacterClass>;

class Pattern {
 public:
  Pattern(Table& table, std::shared_ptr<const CharacterClasses> classes);

  // Where the expression matches, from left to right, as ranges of bytes of a valid UTF-8 text.
  // Empty matches are left out.
  std::vector<std::pair<size_t, size_t>> matches(std::string_view text) const;

 private:
  enum class Op { character, jump, split, look, avoid, atomic, start, end, match };
  struct Instruction {
    Op op;
    int a, b;
  };

  // Runs the program from an instruction on at a code point; where the match ends, or -1.
  int64_t run(int instruction, int64_t at, const std::vector<uint32_t>& text) const;
  bool contains(int character_class, uint32_t code) const;

  std::vector<Instruction> program_;
  std::shared_ptr<const CharacterClasses> classes_;
};
