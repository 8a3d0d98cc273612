// The size of ExecuTorch's thread pool.
#pragma once

#include <cstdint>

// The header of the thread pool is not among those of the wheel; its symbols are.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  bool _unsafe_reset_threadpool(uint32_t size);
};
ThreadPool* get_threadpool();
} // namespace executorch::extension::threadpool

// Call it before a program is loaded.
inline void set_threads(uint32_t count) {
  executorch::extension::threadpool::get_threadpool()->_unsafe_reset_threadpool(count);
}
