// UTF-8.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Length of the UTF-8 sequence at the start of a text; 0 if it is none, -1 if it is the beginning of
// one.
inline int utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (text.empty()) {
    return -1;
  }
  const unsigned char first = byte(0);
  if (first < 0x80) {
    return 1;
  }
  const int length = first >= 0xC2 && first < 0xE0 ? 2
      : first >= 0xE0 && first < 0xF0              ? 3
      : first >= 0xF0 && first < 0xF5              ? 4
                                                   : 0;
  for (int i = 1; i < length; ++i) {
    if (static_cast<size_t>(i) >= text.size()) {
      return -1;
    }
    // Overlong forms, surrogates and what lies above U+10FFFF begin with these.
    const unsigned char low = i > 1 ? 0x80 : first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = i > 1 ? 0xBF : first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (byte(i) < low || byte(i) > high) {
      return 0;
    }
  }
  return length;
}

// With U+FFFD for each byte that is no part of a character.
inline std::string valid_utf8(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const int length = utf8_length(text);
    out += length > 0 ? std::string(text.substr(0, length)) : "\xEF\xBF\xBD";
    text.remove_prefix(length > 0 ? length : 1);
  }
  return out;
}

// The code points of a valid text, and where each begins, and where the last one ends.
struct CodePoints {
  std::vector<uint32_t> codes;
  std::vector<size_t> starts;

  explicit CodePoints(std::string_view text) {
    for (size_t at = 0; at < text.size();) {
      const int length = std::max(1, utf8_length(text.substr(at)));
      uint32_t code = static_cast<unsigned char>(text[at]);
      if (length > 1) {
        code &= 0xFF >> (length + 1);
      }
      for (int i = 1; i < length; ++i) {
        code = code << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3F);
      }
      codes.push_back(code);
      starts.push_back(at);
      at += length;
    }
    starts.push_back(text.size());
  }
};
