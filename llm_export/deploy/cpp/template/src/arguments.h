// The command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sampler.h"

struct Arguments {
  std::string model; // folder
  std::optional<std::string> prompt;
  std::string system;
  Sampling sampling;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  uint32_t threads = 0; // 0: as many as ExecuTorch takes
  bool raw = false, ids = false, stats = false, help = false;
};

extern const char* const usage;

// Throws std::invalid_argument.
Arguments parsed(int argc, char** argv);
