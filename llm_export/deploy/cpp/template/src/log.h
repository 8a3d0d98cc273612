// ExecuTorch's log.
#pragma once

#include <cstdio>

#include <executorch/runtime/platform/platform.h>

// Keeps only errors of what ExecuTorch writes to standard error.
inline void log_errors_only() {
  const auto emit = [](et_timestamp_t, et_pal_log_level_t level, const char* file, const char*,
                       size_t line, const char* message, size_t) {
    if (level == et_pal_log_level_t::kError || level == et_pal_log_level_t::kFatal) {
      std::fprintf(stderr, "executorch: %s (%s:%zu)\n", message, file, line);
    }
  };
  executorch::runtime::register_pal(executorch::runtime::PalImpl::create(emit, __FILE__));
}
