#include "nfc.h"

#include <algorithm>

#include "utf8.h"

namespace {

// Hangul syllables are made of a leading consonant, a vowel and perhaps a trailing consonant.
constexpr uint32_t syllables = 0xAC00, leading = 0x1100, vowels = 0x1161, trailing = 0x11A7;
constexpr uint32_t vowel_count = 21, trailing_count = 28, syllable_count = 11172;

std::string utf8(uint32_t code) {
  std::string out;
  const auto add = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xC0 | code >> 6);
    add(0x80 | (code & 0x3F));
  } else {
    if (code < 0x10000) {
      add(0xE0 | code >> 12);
    } else {
      add(0xF0 | code >> 18);
      add(0x80 | (code >> 12 & 0x3F));
    }
    add(0x80 | (code >> 6 & 0x3F));
    add(0x80 | (code & 0x3F));
  }
  return out;
}

} // namespace

void Nfc::read(Table& table) {
  if (table.section("nfc") == 0) {
    return;
  }
  for (int i = table.section("decompositions"); i > 0; --i) {
    auto& parts = decompositions_[table.number()];
    for (int n = table.number(); n > 0; --n) {
      parts.push_back(table.number());
    }
  }
  for (int i = table.section("classes"); i > 0; --i) {
    const uint32_t code = table.number();
    classes_[code] = table.number();
  }
  for (int i = table.section("compositions"); i > 0; --i) {
    const uint64_t first = table.number(), second = table.number();
    compositions_[first << 32 | second] = table.number();
  }
}

int Nfc::combining_class(uint32_t code) const {
  const auto found = classes_.find(code);
  return found == classes_.end() ? 0 : found->second;
}

void Nfc::decompose(uint32_t code, Codes& out) const {
  if (code >= syllables && code < syllables + syllable_count) {
    const uint32_t index = code - syllables, last = index % trailing_count;
    out.push_back(leading + index / (vowel_count * trailing_count));
    out.push_back(vowels + index / trailing_count % vowel_count);
    if (last > 0) {
      out.push_back(trailing + last);
    }
  } else if (const auto found = decompositions_.find(code); found != decompositions_.end()) {
    out.insert(out.end(), found->second.begin(), found->second.end());
  } else {
    out.push_back(code);
  }
}

uint32_t Nfc::composed(uint32_t first, uint32_t second) const {
  if (first - leading < 19 && second - vowels < vowel_count) {
    return syllables + ((first - leading) * vowel_count + second - vowels) * trailing_count;
  }
  if (first - syllables < syllable_count && (first - syllables) % trailing_count == 0 &&
      second > trailing && second < trailing + trailing_count) {
    return first + second - trailing;
  }
  const auto found = compositions_.find(static_cast<uint64_t>(first) << 32 | second);
  return found == compositions_.end() ? 0 : found->second;
}

std::string Nfc::operator()(const std::string& valid) const {
  if (decompositions_.empty()) {
    return valid;
  }
  Codes codes;
  for (const auto code : CodePoints(valid).codes) {
    decompose(code, codes);
  }
  // Marks behind a character stand in the order of their classes.
  for (auto at = codes.begin(); at != codes.end();) {
    const auto end =
        std::find_if(at, codes.end(), [&](uint32_t code) { return combining_class(code) == 0; });
    std::stable_sort(at, end, [&](uint32_t a, uint32_t b) {
      return combining_class(a) < combining_class(b);
    });
    at = end == codes.end() ? end : end + 1;
  }
  Codes out;
  size_t starter = 0; // index of the character that marks may join
  int last = -1; // class of the last mark behind it that stayed; -1: none
  bool has_starter = false;
  for (const auto code : codes) {
    const int kind = combining_class(code);
    const bool free = last < kind; // nothing of the same or a higher class stands between
    const uint32_t joined = has_starter && free ? composed(out[starter], code) : 0;
    if (joined != 0) {
      out[starter] = joined;
      continue;
    }
    if (kind == 0) {
      starter = out.size();
      has_starter = true;
      last = -1;
    } else {
      last = kind;
    }
    out.push_back(code);
  }
  std::string text;
  for (const auto code : out) {
    text += utf8(code);
  }
  return text;
}
