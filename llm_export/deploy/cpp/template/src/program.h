// One ExecuTorch program with its caches inside, fed token ids.
//
//   METHOD(tokens [1, S], input_pos [1]) -> logits [1, S or 1, V]
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <executorch/extension/module/module.h>

class Program {
 public:
  // Loads a .pte and, unless its name is empty, the .ptd with the weights that it lacks. Throws
  // std::runtime_error.
  Program(const std::string& path, const std::string& data_path);

  // Feeds any number of tokens, but at least one, in chunks; the logits [V] of the last one. Throws
  // std::runtime_error if they do not fit the context, or if the program fails.
  std::vector<float> feed(const std::vector<int64_t>& tokens);

  // Discards what was fed from ``position`` on, or more if the caches cannot go back that far; the
  // position from which to go on.
  int64_t go_back(int64_t position);

  int64_t position() const {
    return position_;
  }
  bool full() const;

 private:
  std::vector<float> step(const int64_t* tokens, int64_t count);

  std::unique_ptr<executorch::extension::Module> module_;
  int64_t position_ = 0, furthest_ = 0;
};
