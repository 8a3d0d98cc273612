// Reference kernels of the llama:: operators that the C++ libraries of ExecuTorch's wheel lack: plain
// loops, in float32, by the definitions in executorch/extension/llm/custom_ops. They make a program
// with fused attention run here as it is; they say nothing of the speed or of the rounding of
// ExecuTorch's own kernels.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>
#include <executorch/runtime/core/exec_aten/util/tensor_util.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::KernelRuntimeContext;
using executorch::runtime::Span;
using OptionalTensor = std::optional<Tensor>;

namespace {

#define REQUIRE(context, condition, result)                  \
  if (!(condition)) {                                        \
    ET_LOG(Error, "reference kernel: not %s", #condition);   \
    (context).fail(Error::InvalidArgument);                  \
    return result;                                           \
  }

// Element number `index`, in float32.
float at(const Tensor& x, int64_t index) {
  switch (x.scalar_type()) {
    case ScalarType::Float:
      return x.const_data_ptr<float>()[index];
    case ScalarType::BFloat16:
      return static_cast<float>(x.const_data_ptr<executorch::aten::BFloat16>()[index]);
    case ScalarType::Half:
      return static_cast<float>(x.const_data_ptr<executorch::aten::Half>()[index]);
    case ScalarType::Char:
      return static_cast<float>(x.const_data_ptr<int8_t>()[index]);
    default:
      return std::numeric_limits<float>::quiet_NaN();
  }
}

void put(Tensor& x, int64_t index, float value) {
  switch (x.scalar_type()) {
    case ScalarType::BFloat16:
      x.mutable_data_ptr<executorch::aten::BFloat16>()[index] = value;
      return;
    case ScalarType::Half:
      x.mutable_data_ptr<executorch::aten::Half>()[index] = value;
      return;
    default:
      x.mutable_data_ptr<float>()[index] = value;
  }
}

// Values [.., E], and for int8 a scale and a zero point for each [..].
struct Values {
  const Tensor& values;
  const Tensor* zeros = nullptr;
  const Tensor* scales = nullptr;

  // The `size` values from element `start` on, which are one row.
  std::vector<float> row(int64_t start, int64_t size) const {
    std::vector<float> made(size);
    for (int64_t i = 0; i < size; ++i) {
      made[i] = at(values, start + i);
      if (scales != nullptr) {
        made[i] = (made[i] - at(*zeros, start / size)) * at(*scales, start / size);
      }
    }
    return made;
  }
};

// value [B, S, K, E] to positions from `start` on of cache [B, T, K, E].
bool write(const Tensor& value, Tensor& cache, int64_t start) {
  if (value.dim() != 4 || cache.dim() != 4 || start < 0 ||
      start + value.size(1) > cache.size(1) || value.size(0) != cache.size(0) ||
      value.size(2) != cache.size(2) || value.size(3) != cache.size(3) ||
      value.scalar_type() != cache.scalar_type()) {
    return false;
  }
  const size_t slot = value.size(2) * value.size(3) * value.element_size();
  const size_t step = value.size(1) * slot, all = cache.size(1) * slot;
  for (int64_t b = 0; b < value.size(0); ++b) {
    std::memcpy(cache.mutable_data_ptr<char>() + b * all + start * slot,
                value.const_data_ptr<char>() + b * step, step);
  }
  return true;
}

// queries [B, S, H, E], keys [B, T, K, E], values [B, T, K, E'] -> out [B, S, H, E]. With a mask
// [S, T] or longer all T are read; else those up to each query's own position.
bool attend(const Values& queries, const Values& keys, const Values& values, int64_t start,
            const OptionalTensor& mask, bool causal, const std::optional<double>& scale,
            Tensor& out) {
  const Tensor &q = queries.values, &k = keys.values, &v = values.values;
  if (q.dim() != 4 || k.dim() != 4 || v.dim() != 4 || k.size(2) == 0 || q.size(2) % k.size(2)) {
    return false;
  }
  const int64_t steps = q.size(1), heads = q.size(2), e = q.size(3);
  const int64_t slots = k.size(1), kept = k.size(2), group = heads / kept, ve = v.size(3);
  const int64_t filled = mask ? slots : std::min(slots, start + steps);
  if (mask && (mask->dim() != 2 || mask->size(0) < steps || mask->size(1) < slots)) {
    return false;
  }
  const auto factor = static_cast<float>(scale.value_or(1.0 / std::sqrt(double(e))));
  std::vector<float> scores(filled), sum(ve);
  for (int64_t b = 0; b < q.size(0); ++b) {
    for (int64_t s = 0; s < steps; ++s) {
      const int64_t count = mask || !causal ? filled : std::min(filled, start + s + 1);
      for (int64_t h = 0; h < heads; ++h) {
        const auto query = queries.row(((b * steps + s) * heads + h) * e, e);
        float largest = -std::numeric_limits<float>::infinity(), total = 0;
        for (int64_t t = 0; t < count; ++t) {
          const auto key = keys.row(((b * slots + t) * kept + h / group) * e, e);
          float product = 0;
          for (int64_t i = 0; i < e; ++i) {
            product += query[i] * key[i];
          }
          scores[t] = product * factor + (mask ? at(*mask, s * mask->size(1) + t) : 0);
          largest = std::max(largest, scores[t]);
        }
        std::fill(sum.begin(), sum.end(), 0.0f);
        for (int64_t t = 0; t < count; ++t) {
          const float weight = std::exp(scores[t] - largest);
          if (weight == 0) {
            continue;
          }
          total += weight;
          const auto value = values.row(((b * slots + t) * kept + h / group) * ve, ve);
          for (int64_t i = 0; i < ve; ++i) {
            sum[i] += weight * value[i];
          }
        }
        for (int64_t i = 0; i < ve; ++i) {
          put(out, ((b * steps + s) * heads + h) * ve + i, sum[i] / total);
        }
      }
    }
  }
  return true;
}

Tensor& update_cache_out(KernelRuntimeContext& context, const Tensor& value, Tensor& cache,
                         const int64_t start, Tensor& out) {
  REQUIRE(context, write(value, cache, start), out);
  return out;
}

Tensor& custom_sdpa_out(KernelRuntimeContext& context, const Tensor& q, const Tensor& k,
                        const Tensor& v, const int64_t start, const OptionalTensor mask,
                        const double, const bool causal, const std::optional<double> scale,
                        Tensor& out) {
  REQUIRE(context, resize_tensor(out, q.sizes()) == Error::Ok, out);
  REQUIRE(context, attend({q}, {k}, {v}, start, mask, causal, scale, out), out);
  return out;
}

Tensor& sdpa_with_kv_cache_out(KernelRuntimeContext& context, const Tensor& q, const Tensor& k,
                               const Tensor& v, Tensor& k_cache, Tensor& v_cache,
                               const int64_t start, const int64_t, const OptionalTensor mask,
                               const double dropout, const bool causal,
                               const std::optional<double> scale, Tensor& out) {
  REQUIRE(context, write(k, k_cache, start) && write(v, v_cache, start), out);
  return custom_sdpa_out(context, q, k_cache, v_cache, start, mask, dropout, causal, scale, out);
}

Tensor& custom_quantized_sdpa_out(
    KernelRuntimeContext& context, const Tensor& q, const Tensor& k, const Tensor& v,
    const int64_t start, const OptionalTensor mask, const double, const bool causal,
    const std::optional<double> scale, const OptionalTensor q_zeros, const OptionalTensor q_scales,
    const OptionalTensor k_zeros, const OptionalTensor k_scales, const OptionalTensor v_zeros,
    const OptionalTensor v_scales, const bool heads_first, Tensor& out) {
  REQUIRE(context, !heads_first, out);
  REQUIRE(context, q_zeros && q_scales && k_zeros && k_scales && v_zeros && v_scales, out);
  REQUIRE(context, resize_tensor(out, q.sizes()) == Error::Ok, out);
  const Values queries{q, &*q_zeros, &*q_scales}, keys{k, &*k_zeros, &*k_scales},
      values{v, &*v_zeros, &*v_scales};
  REQUIRE(context, attend(queries, keys, values, start, mask, causal, scale, out), out);
  return out;
}

// query, key [B, H, S, E], value [B, H, S, E'], decay and rate [B, H, S], state [B, H, E, E'] ->
// out [B, H, S, E'] and the state after the step, by the recurrence of the gated delta rule
// (arXiv:2412.06464). A key head serves as many query heads as the query has more of.
void gated_delta_rule_out(KernelRuntimeContext& context, Span<EValue*> stack) {
  const auto q = stack[0]->toTensor(), k = stack[1]->toTensor(), v = stack[2]->toTensor();
  const auto decay = stack[3]->toTensor(), rate = stack[4]->toTensor();
  const auto before = stack[5]->toTensor();
  auto out = stack[6]->toTensor(), after = stack[7]->toTensor();
  REQUIRE(context, decay.dim() == 3 && q.size(1) == k.size(1), );
  REQUIRE(context, resize_tensor(out, v.sizes()) == Error::Ok, );
  const int64_t heads = q.size(0) * q.size(1), steps = q.size(2), e = q.size(3), ve = v.size(3);
  std::vector<float> state(e * ve), wanted(ve);
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t i = 0; i < e * ve; ++i) {
      state[i] = at(before, h * e * ve + i);
    }
    for (int64_t s = 0; s < steps; ++s) {
      const int64_t row = h * steps + s;
      for (int64_t j = 0; j < ve; ++j) {
        wanted[j] = at(v, row * ve + j);
        for (int64_t i = 0; i < e; ++i) {
          state[i * ve + j] *= at(decay, row);
          wanted[j] -= at(k, row * e + i) * state[i * ve + j];
        }
        float y = 0;
        for (int64_t i = 0; i < e; ++i) {
          state[i * ve + j] += at(rate, row) * at(k, row * e + i) * wanted[j];
          y += at(q, row * e + i) * state[i * ve + j];
        }
        put(out, row * ve + j, y);
      }
    }
    for (int64_t i = 0; i < e * ve; ++i) {
      put(after, h * e * ve + i, state[i]);
    }
  }
}

EXECUTORCH_LIBRARY(llama, "update_cache.out", update_cache_out);
EXECUTORCH_LIBRARY(llama, "custom_sdpa.out", custom_sdpa_out);
EXECUTORCH_LIBRARY(llama, "sdpa_with_kv_cache.out", sdpa_with_kv_cache_out);
EXECUTORCH_LIBRARY(llama, "custom_quantized_sdpa.out", custom_quantized_sdpa_out);

const auto registered = executorch::runtime::register_kernel(
    executorch::runtime::Kernel("llama::gated_delta_rule.out", gated_delta_rule_out));

} // namespace
