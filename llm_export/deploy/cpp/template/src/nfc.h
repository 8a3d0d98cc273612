// Unicode's normalization form NFC (UAX 15).
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "table.h"

class Nfc {
 public:
  // Reads the section nfc, which may be empty: text then stays as it is.
  void read(Table& table);

  std::string operator()(const std::string& valid) const;

 private:
  using Codes = std::vector<uint32_t>;
  void decompose(uint32_t code, Codes& out) const;
  uint32_t composed(uint32_t first, uint32_t second) const; // 0: they do not compose
  int combining_class(uint32_t code) const;

  std::unordered_map<uint32_t, Codes> decompositions_;
  std::unordered_map<uint32_t, int> classes_;
  std::unordered_map<uint64_t, uint32_t> compositions_;
};
