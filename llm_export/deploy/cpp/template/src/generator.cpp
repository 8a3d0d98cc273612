#include "generator.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "model_facts.h"
#include "text_stream.h"

namespace {

double now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

void require_good(const std::vector<int64_t>& prompt) {
  const auto length = static_cast<int64_t>(prompt.size());
  if (length == 0) {
    throw std::runtime_error("the prompt is empty");
  }
  if (length >= facts::context_length && !facts::attention_sink) {
    throw std::runtime_error(
        "the prompt has " + std::to_string(length) + " tokens; the context of " +
        std::to_string(facts::context_length) + " leaves no room for an answer");
  }
  for (const auto id : prompt) {
    // ExecuTorch would end the process.
    if (id < 0 || id >= facts::vocabulary) {
      throw std::runtime_error("token id " + std::to_string(id) + " has no embedding");
    }
  }
}

} // namespace

std::vector<float> Generator::feed_prompt(const std::vector<int64_t>& prompt, Answer& answer) {
  size_t shared = 0;
  while (shared < cached_.size() && shared + 1 < prompt.size() &&
         cached_[shared] == prompt[shared]) {
    ++shared;
  }
  shared = program_.go_back(static_cast<int64_t>(shared));
  // A failure leaves the caches in an unknown state: count only what is certain.
  cached_.resize(shared);
  answer.prompt_tokens = static_cast<int64_t>(prompt.size());
  answer.cached_tokens = static_cast<int64_t>(shared);
  auto logits = program_.feed({prompt.begin() + answer.cached_tokens, prompt.end()});
  cached_ = prompt;
  return logits;
}

Answer Generator::generate(const std::vector<int64_t>& prompt, const Request& request) {
  require_good(prompt);
  Answer answer;
  Sampler sample(request.sampling, request.seed, tokenizer_.never(), prompt);
  TextStream stream(tokenizer_);
  StopStrings stop(request.stop);
  const auto tell = [&](const std::string& text) {
    answer.text += text;
    if (request.on_text && !text.empty()) {
      request.on_text(text);
    }
  };
  const double start = now();
  auto logits = feed_prompt(prompt, answer);
  const double fed = now();
  answer.prefill_seconds = fed - start;
  while (answer.end.empty()) {
    const int64_t id = sample(std::move(logits));
    answer.ids.push_back(id);
    answer.decode_seconds = now() - fed;
    if (std::count(facts::eos_ids.begin(), facts::eos_ids.end(), id) > 0) {
      answer.end = "eos";
      break;
    }
    tell(stop.push(stream.push(id)));
    if (stop.found()) {
      answer.end = "stop";
    } else if (static_cast<int64_t>(answer.ids.size()) >= request.sampling.max_new_tokens) {
      answer.end = "length";
    } else if (program_.full()) {
      answer.end = "context";
    } else {
      logits = program_.feed({id});
      cached_.push_back(id);
    }
  }
  if (!stop.found()) {
    tell(stop.push(stream.flush()));
    answer.end = stop.found() ? "stop" : answer.end;
    tell(stop.flush());
  }
  return answer;
}
