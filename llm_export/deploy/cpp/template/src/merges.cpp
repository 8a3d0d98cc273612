#include "merges.h"

#include <algorithm>
#include <functional>
#include <queue>

#include "utf8.h"

namespace {

uint64_t key(int64_t left, int64_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint64_t>(right);
}

struct Candidate {
  int rank;
  int at, other; // symbols
  int64_t result;
  bool operator>(const Candidate& than) const {
    return rank != than.rank ? rank > than.rank : at > than.at;
  }
};

} // namespace

void Merges::read(Table& table) {
  for (int i = table.section("units"); i > 0; --i) {
    auto unit = table.bytes();
    units_[std::move(unit)] = table.number();
  }
  const int count = table.section("merges");
  merges_.reserve(count);
  for (int rank = 0; rank < count; ++rank) {
    const int64_t left = table.number(), right = table.number();
    merges_[key(left, right)] = {rank, table.number()};
  }
  if (table.section("fallback") > 0) {
    for (int byte = 0; byte < 256; ++byte) {
      fallback_.push_back(table.number());
    }
  }
  unknown_ = table.section("unknown");
  fuse_unknown_ = table.number() != 0;
}

std::vector<int64_t> Merges::symbols(std::string_view word, bool of_bytes) const {
  std::vector<int64_t> ids;
  bool after_unknown = false;
  while (!word.empty()) {
    const auto unit = word.substr(0, of_bytes ? 1 : std::max(1, utf8_length(word)));
    word.remove_prefix(unit.size());
    if (const auto found = units_.find(std::string(unit)); found != units_.end()) {
      ids.push_back(found->second);
      after_unknown = false;
      continue;
    }
    std::vector<int64_t> bytes;
    for (const char byte : unit) {
      bytes.push_back(fallback_.empty() ? -1 : fallback_[static_cast<unsigned char>(byte)]);
    }
    if (std::find(bytes.begin(), bytes.end(), -1) == bytes.end()) {
      ids.insert(ids.end(), bytes.begin(), bytes.end());
      after_unknown = false;
    } else if (unknown_ >= 0) {
      if (!(after_unknown && fuse_unknown_)) {
        ids.push_back(unknown_);
      }
      after_unknown = true;
    }
  }
  return ids;
}

const Merges::Merge* Merges::find(int64_t left, int64_t right) const {
  const auto found = merges_.find(key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void Merges::encode(std::string_view word, bool of_bytes, std::vector<int64_t>& ids) const {
  auto symbol = symbols(word, of_bytes);
  const int size = static_cast<int>(symbol.size());
  std::vector<int> after(size), before(size);
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](int at, int other) {
    if (at < 0 || other >= size) {
      return;
    }
    if (const auto* merge = find(symbol[at], symbol[other])) {
      queue.push({merge->rank, at, other, merge->result});
    }
  };
  for (int i = 0; i < size; ++i) {
    after[i] = i + 1;
    before[i] = i - 1;
    consider(i, i + 1);
  }
  while (!queue.empty()) {
    const auto best = queue.top();
    queue.pop();
    // Either symbol may have been merged since.
    if (symbol[best.at] < 0 || after[best.at] != best.other || symbol[best.other] < 0) {
      continue;
    }
    const auto* merge = find(symbol[best.at], symbol[best.other]);
    if (merge == nullptr || merge->result != best.result) {
      continue;
    }
    symbol[best.at] = best.result;
    symbol[best.other] = -1;
    after[best.at] = after[best.other];
    if (after[best.at] < size) {
      before[after[best.at]] = best.at;
    }
    consider(before[best.at], best.at);
    consider(best.at, after[best.at]);
  }
  for (const auto id : symbol) {
    if (id >= 0) {
      ids.push_back(id);
    }
  }
}
