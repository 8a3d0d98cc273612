// Byte pair encoding (arXiv:1508.07909).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "table.h"

class Merges {
 public:
  // Reads the sections units, merges, fallback and unknown.
  void read(Table& table);

  // Adds the ids of a word, of which no token is known as a whole.
  void encode(std::string_view word, bool of_bytes, std::vector<int64_t>& ids) const;

 private:
  struct Merge {
    int rank;
    int64_t result;
  };
  std::vector<int64_t> symbols(std::string_view word, bool of_bytes) const;
  const Merge* find(int64_t left, int64_t right) const;

  std::unordered_map<std::string, int64_t> units_;
  std::unordered_map<uint64_t, Merge> merges_;
  std::vector<int64_t> fallback_; // byte -> id
  int64_t unknown_ = -1;
  bool fuse_unknown_ = false;
};
