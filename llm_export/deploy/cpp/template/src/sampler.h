// Samples the next token from logits, in the order of transformers' logits processors.
#pragma once

#include <cstdint>
#include <random>
#include <unordered_set>
#include <vector>

struct Sampling {
  double temperature; // 0: the most likely token
  int64_t top_k; // only among so many most likely tokens; 0: off
  double top_p; // only among the smallest set with this probability (arXiv:1904.09751); 1: off
  double min_p; // only tokens with this share of the best one's (arXiv:2407.01082); 0: off
  double repetition_penalty; // arXiv:1909.05858; 1: off
  int64_t max_new_tokens;
};

class Sampler {
 public:
  // never: ids that are not sampled. seen: ids that the repetition penalty applies to.
  Sampler(const Sampling& sampling, uint64_t seed, const std::vector<int64_t>& never,
          const std::vector<int64_t>& seen);

  // Throws std::runtime_error if no logit is a finite number.
  int64_t operator()(std::vector<float> logits);

 private:
  int64_t drawn(const std::vector<float>& logits);

  Sampling sampling_;
  std::mt19937_64 random_;
  const std::vector<int64_t>& never_;
  std::unordered_set<int64_t> seen_;
};
