// Measures prefill and decode of a program with its caches inside, with ExecuTorch's Module alone.
// It prints the line of ExecuTorch's LLM runners. Flags are --NAME=VALUE.
//
//   forward(tokens i64[1, S], input_pos i64[1]) -> logits [1, V] or [1, S, V]

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <sys/resource.h>

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include "flags.h"
#include "logits.h"
#include "threads.h"

using executorch::extension::from_blob;
using executorch::extension::Module;

namespace {

std::map<std::string, std::string> flags = {
    {"model_path", "model.pte"}, {"prompt_length", "512"}, {"decode_length", "128"},
    {"chunk", "512"}, {"vocab_size", "1"}, {"cpu_threads", "0"}, {"warmup", "true"}};

int64_t number(const char* name) {
  return std::atoll(flags.at(name).c_str());
}

int64_t now_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// Feeds tokens from a position on; the most probable token after the last one.
int64_t step(Module& module, std::vector<int64_t>& tokens, int64_t position) {
  const auto size = static_cast<executorch::aten::SizesType>(tokens.size());
  auto ids = from_blob(tokens.data(), {1, size}, executorch::aten::ScalarType::Long);
  auto start = from_blob(&position, {1}, executorch::aten::ScalarType::Long);
  auto result = module.forward({ids, start});
  if (!result.ok()) {
    std::fprintf(stderr, "forward failed with error 0x%x\n",
                 static_cast<unsigned>(result.error()));
    std::exit(1);
  }
  try {
    const auto logits = last_logits(result->at(0).toTensor(), size);
    return std::max_element(logits.begin(), logits.end()) - logits.begin();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    std::exit(1);
  }
}

struct Times {
  int64_t start, prompt_end, end;
};

Times generate(Module& module) {
  const int64_t length = number("prompt_length"), chunk = number("chunk");
  const int64_t vocabulary = number("vocab_size");
  Times times{};
  times.start = now_ms();
  int64_t token = 0;
  for (int64_t done = 0; done < length; done += chunk) {
    std::vector<int64_t> tokens;
    for (int64_t i = done; i < std::min(done + chunk, length); ++i) {
      tokens.push_back((i * 7919 + 13) % vocabulary);
    }
    token = step(module, tokens, done);
  }
  times.prompt_end = now_ms();
  for (int64_t i = 0; i < number("decode_length"); ++i) {
    std::vector<int64_t> tokens{token};
    token = step(module, tokens, length + i);
  }
  times.end = now_ms();
  std::printf("last token %lld\n", static_cast<long long>(token));
  return times;
}

} // namespace

int main(int argc, char** argv) {
  if (!read_flags(argc, argv, flags)) {
    return 2;
  }
  if (number("chunk") < 1 || number("vocab_size") < 1 || number("prompt_length") < 1) {
    std::fprintf(stderr, "chunk, vocab_size and prompt_length are at least 1\n");
    return 2;
  }
  if (number("cpu_threads") > 0) {
    set_threads(static_cast<uint32_t>(number("cpu_threads")));
  }
  const int64_t load_start = now_ms();
  Module module(flags.at("model_path"), Module::LoadMode::Mmap);
  const auto loaded = module.load_method("forward");
  if (loaded != executorch::runtime::Error::Ok) {
    std::fprintf(stderr, "load failed with error 0x%x\n", static_cast<unsigned>(loaded));
    return 1;
  }
  const int64_t load_end = now_ms();
  if (flags.at("warmup") == "true") {
    generate(module);
  }
  const Times times = generate(module);
  std::printf(
      "PyTorchObserver {\"prompt_tokens\":%lld,\"generated_tokens\":%lld,"
      "\"model_load_start_ms\":%lld,\"model_load_end_ms\":%lld,\"inference_start_ms\":%lld,"
      "\"inference_end_ms\":%lld,\"prompt_eval_end_ms\":%lld,\"first_token_ms\":%lld,"
      "\"SCALING_FACTOR_UNITS_PER_SECOND\":1000}\n",
      static_cast<long long>(number("prompt_length")),
      static_cast<long long>(number("decode_length")), static_cast<long long>(load_start),
      static_cast<long long>(load_end), static_cast<long long>(times.start),
      static_cast<long long>(times.end), static_cast<long long>(times.prompt_end),
      static_cast<long long>(times.prompt_end));
  rusage used{};
  if (getrusage(RUSAGE_SELF, &used) == 0) {
    std::fprintf(stderr, "llm_export-peak-kilobytes %ld\n", used.ru_maxrss);
  }
  return 0;
}
