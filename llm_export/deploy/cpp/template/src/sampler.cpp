#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

Sampler::Sampler(const Sampling& sampling, uint64_t seed, const std::vector<int64_t>& never,
                 const std::vector<int64_t>& seen)
    : sampling_(sampling), random_(seed), never_(never), seen_(seen.begin(), seen.end()) {}

int64_t Sampler::operator()(std::vector<float> logits) {
  if (const auto penalty = static_cast<float>(sampling_.repetition_penalty); penalty != 1) {
    for (const auto id : seen_) {
      logits[id] = logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty;
    }
  }
  for (const auto id : never_) {
    logits[id] = -std::numeric_limits<float>::infinity();
  }
  const auto best = std::max_element(logits.begin(), logits.end());
  if (!std::isfinite(*best)) {
    throw std::runtime_error("the program's logits are not finite numbers");
  }
  // Below this temperature the division would overflow.
  const int64_t id = sampling_.temperature < 1e-4 ? best - logits.begin() : drawn(logits);
  seen_.insert(id);
  return id;
}

int64_t Sampler::drawn(const std::vector<float>& logits) {
  std::vector<int64_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
  if (sampling_.top_k > 0 && sampling_.top_k < static_cast<int64_t>(ids.size())) {
    ids.resize(sampling_.top_k);
  }
  std::vector<double> weights;
  double total = 0;
  for (const auto id : ids) {
    weights.push_back(std::exp((logits[id] - logits[ids[0]]) / sampling_.temperature));
    total += weights.back();
  }
  // Weights fall: the first that is too small, or behind enough of them, ends the set.
  size_t kept = 1;
  double before = weights[0];
  while (kept < weights.size() && before < sampling_.top_p * total &&
         weights[kept] >= sampling_.min_p * weights[0]) {
    before += weights[kept++];
  }
  double left = std::uniform_real_distribution<double>(0, before)(random_);
  size_t at = 0;
  while (at + 1 < kept && left >= weights[at]) {
    left -= weights[at++];
  }
  return ids[at];
}
