// The logits that a step of a program returns.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include <executorch/extension/tensor/tensor.h>

// Of the last of a step's tokens, as float: f32, f16 or bf16 [..., V], of every token or of the last
// one. Rows behind ``count`` are those of padding.
inline std::vector<float> last_logits(const executorch::aten::Tensor& logits, int64_t count) {
  using executorch::aten::ScalarType;
  const int64_t vocabulary = logits.size(logits.dim() - 1);
  const int64_t row = std::min(count, logits.numel() / vocabulary) - 1;
  const auto converted = [&](const auto* data) {
    const auto* start = data + row * vocabulary;
    return std::vector<float>(start, start + vocabulary);
  };
  switch (logits.scalar_type()) {
    case ScalarType::Float:
      return converted(logits.const_data_ptr<float>());
    case ScalarType::Half:
      return converted(logits.const_data_ptr<executorch::aten::Half>());
    case ScalarType::BFloat16:
      return converted(logits.const_data_ptr<executorch::aten::BFloat16>());
    default:
      throw std::runtime_error("the logits are no floating-point numbers");
  }
}
