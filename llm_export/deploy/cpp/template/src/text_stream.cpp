#include "text_stream.h"

#include <algorithm>

#include "utf8.h"

std::string TextStream::push(int64_t id) {
  held_ += tokenizer_.piece(id);
  for (; strip_ > 0 && !held_.empty(); --strip_) {
    if (held_[0] != ' ') {
      strip_ = 0;
      break;
    }
    held_.erase(0, 1);
  }
  std::string_view rest = held_;
  size_t whole = 0; // bytes that no later token changes
  while (!rest.empty()) {
    const int length = utf8_length(rest);
    if (length < 0) {
      break;
    }
    whole += std::max(1, length);
    rest.remove_prefix(std::max(1, length));
  }
  const auto text = valid_utf8(std::string_view(held_).substr(0, whole));
  held_.erase(0, whole);
  return text;
}

std::string TextStream::flush() {
  const auto text = valid_utf8(held_);
  held_.clear();
  return text;
}

StopStrings::StopStrings(std::vector<std::string> stop) : stop_(std::move(stop)) {
  stop_.erase(std::remove(stop_.begin(), stop_.end(), ""), stop_.end());
}

std::string StopStrings::push(const std::string& text) {
  held_ += text;
  size_t end = std::string::npos;
  for (const auto& stop : stop_) {
    end = std::min(end, held_.find(stop));
  }
  if (end != std::string::npos) {
    found_ = true;
    const auto out = held_.substr(0, end);
    held_.clear();
    return out;
  }
  size_t keep = 0;
  for (const auto& stop : stop_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
      if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) {
        keep = n;
      }
    }
  }
  const auto out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::string StopStrings::flush() {
  auto out = std::move(held_);
  held_.clear();
  return out;
}
