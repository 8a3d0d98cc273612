// Reads the words of a tokenizer table.
#pragma once

#include <fstream>
#include <stdexcept>
#include <string>

inline std::string from_hex(const std::string& digits) {
  std::string out;
  for (size_t i = 0; digits != "-" && i + 1 < digits.size(); i += 2) {
    out += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return out;
}

class Table {
 public:
  explicit Table(const std::string& path) : path_(path), file_(path, std::ios::binary) {
    if (!file_) {
      throw std::runtime_error("there is no file " + path);
    }
  }

  std::string word() {
    std::string found;
    if (!(file_ >> found)) {
      throw std::runtime_error(path_ + " ends too early: deploy the bundle again");
    }
    return found;
  }

  int number() {
    return std::stoi(word());
  }

  // Goes over a name; the number behind it.
  int section(const char* name) {
    if (const auto found = word(); found != name) {
      throw std::runtime_error(
          path_ + " has " + found + " instead of " + name + ": deploy the bundle again");
    }
    return number();
  }

  // Bytes in hex, or - for none.
  std::string bytes() {
    return from_hex(word());
  }

 private:
  std::string path_;
  std::ifstream file_;
};
