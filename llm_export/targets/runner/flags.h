// Flags of a command line: --NAME=VALUE, or --NAME for true.
#pragma once

#include <cstdio>
#include <map>
#include <string>

// Puts them into a map that has their names and defaults; false, and a message, for an unknown one.
inline bool read_flags(int argc, char** argv, std::map<std::string, std::string>& flags) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto equals = word.find('=');
    const auto name = word.substr(0, 2) == "--" ? word.substr(2, equals - 2) : "";
    if (flags.count(name) == 0) {
      std::fprintf(stderr, "unknown flag %s\n", word.c_str());
      return false;
    }
    flags[name] = equals == std::string::npos ? "true" : word.substr(equals + 1);
  }
  return true;
}
