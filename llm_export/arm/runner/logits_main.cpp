// Computes logits of tokens with a program that has its caches inside, with ExecuTorch's Module.
// Flags are --NAME=VALUE.
//
//   METHOD(tokens [1, S], input_pos [1]) -> logits [1, V] or [1, S, V]
//
// Each line of the file --calls is one call: METHOD POSITION ROW TOKEN... The logits of token number
// ROW are appended to the file --out, in float32; of no token if ROW is -1. After --seconds no further
// call is made.
//
// Lines of standard output: "features HWCAP HWCAP2" of the processor, "loaded SECONDS", and
// "called SECONDS" after each call. --operators prints the registered operators instead.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <sys/auxv.h>

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/kernel/operator_registry.h>

#include "flags.h"
#include "logits.h"
#include "threads.h"

using executorch::aten::ScalarType;
using executorch::extension::from_blob;
using executorch::extension::Module;

namespace {

std::map<std::string, std::string> flags = {
    {"model_path", ""}, {"data_path", ""}, {"calls", ""}, {"out", ""}, {"seconds", "1e9"},
    {"token_dtype", "int64"}, {"share_memory", "false"}, {"operators", ""}};

const auto started = std::chrono::steady_clock::now();

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

[[noreturn]] void fail(const std::string& what, executorch::runtime::Error error) {
  std::fprintf(stderr, "%s: error 0x%x\n", what.c_str(), static_cast<unsigned>(error));
  std::exit(1);
}

struct Call {
  std::string method;
  int64_t position, row;
  std::vector<int64_t> tokens;
};

std::vector<Call> read_calls(const std::string& path) {
  std::ifstream file(path);
  std::vector<Call> calls;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Call call;
    words >> call.method >> call.position >> call.row;
    for (int64_t token; words >> token;) {
      call.tokens.push_back(token);
    }
    calls.push_back(call);
  }
  return calls;
}

void make(Module& module, Call& call, std::FILE* out) {
  const auto size = static_cast<executorch::aten::SizesType>(call.tokens.size());
  std::vector<int32_t> narrow(call.tokens.begin(), call.tokens.end());
  auto narrow_position = static_cast<int32_t>(call.position);
  const bool is_long = flags.at("token_dtype") == "int64";
  auto ids = is_long ? from_blob(call.tokens.data(), {1, size}, ScalarType::Long)
                     : from_blob(narrow.data(), {1, size}, ScalarType::Int);
  auto start = is_long ? from_blob(&call.position, {1}, ScalarType::Long)
                       : from_blob(&narrow_position, {1}, ScalarType::Int);
  auto result = module.execute(call.method, {ids, start});
  if (!result.ok()) {
    fail(call.method + " failed", result.error());
  }
  if (call.row < 0) {
    return;
  }
  const auto row = last_logits(result->at(0).toTensor(), call.row + 1);
  std::fwrite(row.data(), sizeof(float), row.size(), out);
}

} // namespace

int main(int argc, char** argv) {
  if (!read_flags(argc, argv, flags)) {
    return 2;
  }
  std::printf("features %lx %lx\n", getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
  if (!flags.at("operators").empty()) {
    for (const auto& kernel : executorch::runtime::get_registered_kernels()) {
      std::printf("%s\n", kernel.name_);
    }
    return 0;
  }
  set_threads(1);
  auto calls = read_calls(flags.at("calls"));
  std::vector<std::string> data;
  if (!flags.at("data_path").empty()) {
    data.push_back(flags.at("data_path"));
  }
  Module module(flags.at("model_path"), data, Module::LoadMode::Mmap, nullptr, nullptr, nullptr,
                flags.at("share_memory") == "true");
  for (const auto& call : calls) {
    const auto loaded = module.load_method(call.method);
    if (loaded != executorch::runtime::Error::Ok) {
      fail(call.method + " cannot be loaded", loaded);
    }
  }
  std::printf("loaded %.3f\n", seconds());
  std::FILE* out = std::fopen(flags.at("out").c_str(), "wb");
  if (out == nullptr) {
    std::perror(flags.at("out").c_str());
    return 1;
  }
  for (auto& call : calls) {
    if (seconds() > std::atof(flags.at("seconds").c_str())) {
      break;
    }
    try {
      make(module, call, out);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      return 1;
    }
    std::printf("called %.3f\n", seconds());
    std::fflush(stdout);
  }
  return std::fclose(out) == 0 ? 0 : 1;
}
