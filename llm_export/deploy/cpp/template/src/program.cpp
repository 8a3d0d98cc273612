#include "program.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <stdexcept>

#include <executorch/extension/tensor/tensor.h>

#include "logits.h"
#include "model_facts.h"

using executorch::aten::ScalarType;
using executorch::extension::from_blob;
using executorch::extension::Module;
using executorch::runtime::Error;

namespace {

std::runtime_error failure(const std::string& what, Error error) {
  const char* cause = "";
  switch (error) {
    case Error::OperatorMissing:
      cause = ": it needs an operator that is not linked";
      break;
    case Error::NotFound:
      cause = ": it needs a backend, or weights, that are not there";
      break;
    case Error::InvalidProgram:
      cause = ": the file is damaged";
      break;
    case Error::DelegateInvalidCompatibility:
      cause = ": it was made by an incompatible version of its backend";
      break;
    case Error::MemoryAllocationFailed:
      cause = ": there is not enough memory";
      break;
    case Error::AccessFailed:
      cause = ": a file cannot be read";
      break;
    default:
      break;
  }
  char code[16];
  std::snprintf(code, sizeof code, "0x%x", static_cast<unsigned>(error));
  return std::runtime_error(what + cause + " (ExecuTorch's error " + code + ")");
}

std::unique_ptr<Module> opened(const std::string& path, const std::string& data_path) {
  std::vector<std::string> data;
  if (!data_path.empty()) {
    data.push_back(data_path);
  }
  // The methods of a program share its caches.
  return std::make_unique<Module>(
      path, data, Module::LoadMode::Mmap, nullptr, nullptr, nullptr, facts::methods.size() > 1);
}

// The method with the shortest step for a number of tokens; none if its padding would be written
// behind the caches' end or into a recurrent state.
const facts::Method* method_for(int64_t count, int64_t position) {
  const facts::Method* best = nullptr;
  for (const auto& method : facts::methods) {
    if (method.length >= count && (best == nullptr || method.length < best->length)) {
      best = &method;
    }
  }
  if (best != nullptr && !facts::dynamic_shapes && best->length != count && count > 1 &&
      (facts::recurrent || position + best->length > facts::context_length)) {
    return nullptr;
  }
  return best;
}

} // namespace

Program::Program(const std::string& path, const std::string& data_path)
    : module_(opened(path, data_path)) {
  for (const auto& method : facts::methods) {
    if (const auto error = module_->load_method(method.name); error != Error::Ok) {
      throw failure("the program " + path + " cannot be loaded", error);
    }
  }
}

bool Program::full() const {
  return !facts::attention_sink && position_ >= facts::context_length;
}

int64_t Program::go_back(int64_t position) {
  const bool lost = facts::rewind_until >= 0 && furthest_ > facts::rewind_until &&
      furthest_ - position > facts::rewind_tokens;
  position_ = position != position_ && lost ? 0 : position;
  if (position_ == 0) {
    furthest_ = 0;
  }
  return position_;
}

std::vector<float> Program::feed(const std::vector<int64_t>& tokens) {
  const auto count = static_cast<int64_t>(tokens.size());
  if (!facts::attention_sink && position_ + count > facts::context_length) {
    throw std::runtime_error(
        std::to_string(position_ + count) + " tokens do not fit the context of " +
        std::to_string(facts::context_length));
  }
  std::vector<float> logits;
  for (int64_t done = 0; done < count;) {
    int64_t chunk = std::min(facts::chunk, count - done);
    if (method_for(chunk, position_) == nullptr) {
      chunk = 1;
    }
    logits = step(tokens.data() + done, chunk);
    done += chunk;
  }
  return logits;
}

std::vector<float> Program::step(const int64_t* tokens, int64_t count) {
  const auto* method = method_for(count, position_);
  std::vector<facts::Token> ids(tokens, tokens + count);
  if (!facts::dynamic_shapes) {
    ids.resize(method->length, 0);
  }
  facts::Token start = static_cast<facts::Token>(position_);
  const auto length = static_cast<executorch::aten::SizesType>(ids.size());
  constexpr auto type = sizeof(facts::Token) == 8 ? ScalarType::Long : ScalarType::Int;
  auto input = from_blob(ids.data(), {1, length}, type);
  auto position = from_blob(&start, {1}, type);
  auto outputs = module_->execute(method->name, {input, position});
  if (!outputs.ok()) {
    throw failure("the program failed", outputs.error());
  }
  position_ += count;
  furthest_ = std::max(furthest_, position_);
  return last_logits(outputs->at(0).toTensor(), count);
}
