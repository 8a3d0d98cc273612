#include "pattern.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "utf8.h"

Pattern::Pattern(Table& table, std::shared_ptr<const CharacterClasses> classes)
    : classes_(std::move(classes)) {
  static const std::map<std::string, Op> names = {
      {"char", Op::character}, {"jump", Op::jump},     {"split", Op::split},
      {"look", Op::look},      {"avoid", Op::avoid},   {"atomic", Op::atomic},
      {"start", Op::start},    {"end", Op::end},       {"match", Op::match}};
  const int size = table.number();
  for (int i = 0; i < size; ++i) {
    const Op op = names.at(table.word());
    const int a = table.number(), b = table.number();
    program_.push_back({op, a, b});
  }
}

bool Pattern::contains(int character_class, uint32_t code) const {
  const auto& ranges = (*classes_)[character_class];
  const auto above = std::upper_bound(
      ranges.begin(), ranges.end(), code, [](uint32_t c, const auto& r) { return c < r.first; });
  return above != ranges.begin() && code <= std::prev(above)->second;
}

int64_t Pattern::run(int instruction, int64_t at, const std::vector<uint32_t>& text) const {
  const auto size = static_cast<int64_t>(text.size());
  std::vector<std::pair<int, int64_t>> others; // where to go on if this way fails
  for (;;) {
    const auto& [op, a, b] = program_[instruction];
    bool good = true;
    int next = instruction + 1;
    switch (op) {
      case Op::match:
        return at;
      case Op::character:
        good = at < size && contains(a, text[at]);
        ++at;
        break;
      case Op::jump:
        next = a;
        break;
      case Op::split:
        others.emplace_back(b, at);
        next = a;
        break;
      case Op::look:
      case Op::avoid:
        good = (run(instruction + 1, at, text) >= 0) == (op == Op::look);
        next = a;
        break;
      case Op::atomic:
        at = run(instruction + 1, at, text);
        good = at >= 0;
        next = a;
        break;
      case Op::start:
        good = at == 0;
        break;
      case Op::end:
        good = at == size;
        break;
    }
    if (good) {
      instruction = next;
    } else if (others.empty()) {
      return -1;
    } else {
      std::tie(instruction, at) = others.back();
      others.pop_back();
    }
  }
}

std::vector<std::pair<size_t, size_t>> Pattern::matches(std::string_view text) const {
  const CodePoints points(text);
  const auto size = static_cast<int64_t>(points.codes.size());
  std::vector<std::pair<size_t, size_t>> found;
  for (int64_t at = 0; at < size;) {
    const int64_t end = run(0, at, points.codes);
    if (end > at) {
      found.emplace_back(points.starts[at], points.starts[end]);
    }
    at = std::max(end, at + 1);
  }
  return found;
}
