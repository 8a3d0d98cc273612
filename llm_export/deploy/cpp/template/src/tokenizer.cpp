#include "tokenizer.h"

#include <algorithm>
#include <map>

#include "utf8.h"

namespace {

enum { special = 1, no_word = 2 }; // flags of a piece
enum { isolated, removed, with_previous, with_next }; // behaviors of a split

// Bytes of white space at the start, or the end, of a text.
size_t white_space(std::string_view text, bool at_end) {
  const CodePoints points(text);
  const auto white = [](uint32_t c) {
    return (c >= 9 && c <= 13) || c == 32 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
        (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
        c == 0x205F || c == 0x3000;
  };
  const auto& codes = points.codes;
  if (at_end) {
    const auto last = std::find_if_not(codes.rbegin(), codes.rend(), white);
    return text.size() - points.starts[codes.rend() - last];
  }
  return points.starts[std::find_if_not(codes.begin(), codes.end(), white) - codes.begin()];
}

} // namespace

Tokenizer::Tokenizer(const std::string& path) {
  Table table(path);
  if (table.section("llm_export_tokenizer") != 1) {
    throw std::runtime_error(path + " is of another version: deploy the bundle again");
  }
  const auto classes = std::make_shared<CharacterClasses>();
  for (int i = table.section("classes"); i > 0; --i) {
    auto& ranges = classes->emplace_back();
    for (int n = table.number(); n > 0; --n) {
      const uint32_t low = table.number();
      ranges.emplace_back(low, table.number());
    }
  }
  for (int i = table.section("patterns"); i > 0; --i) {
    patterns_.emplace_back(table, classes);
  }
  read_steps(table, "normalizers", normalizers_);
  read_steps(table, "pretokenizers", pretokenizers_);
  read_pieces(table);
  for (int i = table.section("never"); i > 0; --i) {
    never_.push_back(table.number());
  }
  nfc_.read(table);
}

void Tokenizer::read_steps(Table& table, const char* section, std::vector<Step>& steps) {
  using Kind = Step::Kind;
  for (int i = table.section(section); i > 0; --i) {
    const auto name = table.word();
    Step step{Kind::split, 0, "", isolated, false};
    if (name == "prepend") {
      step.kind = Kind::prepend;
      step.text = table.bytes();
    } else if (name == "replace" || name == "swap") {
      step.kind = name == "swap" ? Kind::swap : Kind::replace;
      step.pattern = table.number();
      step.text = table.bytes();
    } else if (name == "lead") {
      step.kind = Kind::lead;
      step.text = table.bytes();
      step.flag = table.number() != 0;
    } else {
      step.pattern = table.number();
      step.behavior = table.number();
      step.flag = table.number() != 0;
    }
    steps.push_back(step);
  }
}

void Tokenizer::read_pieces(Table& table) {
  for (int i = table.section("added"); i > 0; --i) {
    const int64_t id = table.number();
    auto text = table.bytes();
    const bool normalized = table.number() != 0, left = table.number() != 0;
    const bool right = table.number() != 0;
    if (!text.empty()) {
      added_[text[0]].push_back({id, text, normalized, left, right});
    }
  }
  for (auto& [first, tokens] : added_) {
    std::stable_sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) {
      return a.text.size() > b.text.size();
    });
  }
  of_bytes_ = table.section("bytes") != 0;
  strip_ = table.section("strip");
  const int count = table.section("pieces");
  std::vector<int> flags;
  for (int i = 0; i < count; ++i) {
    pieces_.push_back(table.bytes());
    flags.push_back(table.number());
  }
  merges_.read(table);
  if (table.section("words") != 0) {
    for (int i = 0; i < count; ++i) {
      if ((flags[i] & no_word) == 0) {
        words_[pieces_[i]] = i;
      }
    }
  }
  for (int i = 0; i < count; ++i) {
    if ((flags[i] & special) != 0) {
      pieces_[i].clear();
    }
  }
}

const std::string& Tokenizer::piece(int64_t id) const {
  static const std::string none;
  return id >= 0 && id < static_cast<int64_t>(pieces_.size()) ? pieces_[id] : none;
}

std::vector<int64_t> Tokenizer::encode(const std::string& text) const {
  std::vector<Part> parts;
  for (const auto& raw : without_added({nfc_(valid_utf8(text)), -1, true}, false)) {
    if (raw.id >= 0) {
      parts.push_back(raw);
      continue;
    }
    Part normal = raw;
    for (const auto& step : normalizers_) {
      normal = done(step, normal).at(0);
    }
    for (auto& part : without_added(normal, true)) {
      parts.push_back(std::move(part));
    }
  }
  for (const auto& step : pretokenizers_) {
    std::vector<Part> next;
    for (const auto& part : parts) {
      for (auto& made : part.id >= 0 ? std::vector<Part>{part} : done(step, part)) {
        next.push_back(std::move(made));
      }
    }
    parts = std::move(next);
  }
  std::vector<int64_t> ids;
  for (const auto& part : parts) {
    if (part.id >= 0) {
      ids.push_back(part.id);
    } else {
      encode_word(part.text, ids);
    }
  }
  return ids;
}

void Tokenizer::encode_word(const std::string& word, std::vector<int64_t>& ids) const {
  if (const auto whole = words_.find(word); whole != words_.end()) {
    ids.push_back(whole->second);
  } else {
    merges_.encode(word, of_bytes_, ids);
  }
}

const Tokenizer::Added* Tokenizer::added_at(std::string_view text, bool normalized) const {
  const auto found = added_.find(text[0]);
  if (found != added_.end()) {
    for (const auto& token : found->second) {
      if (token.normalized == normalized && text.substr(0, token.text.size()) == token.text) {
        return &token;
      }
    }
  }
  return nullptr;
}

std::vector<Tokenizer::Part> Tokenizer::without_added(const Part& part, bool normalized) const {
  std::vector<Part> parts;
  const std::string_view text = part.text;
  size_t start = 0; // of the text that is not in ``parts`` yet
  const auto add_text = [&](size_t end) {
    if (start < end) {
      parts.push_back({std::string(text.substr(start, end - start)), -1, part.first && start == 0});
    }
  };
  for (size_t at = 0; at < text.size();) {
    const auto* token = added_at(text.substr(at), normalized);
    if (token == nullptr) {
      ++at;
      continue;
    }
    size_t end = at + token->text.size();
    if (token->strips_left) {
      at -= white_space(text.substr(start, at - start), true);
    }
    if (token->strips_right) {
      end += white_space(text.substr(end), false);
    }
    add_text(at);
    parts.push_back({"", token->id, false});
    start = at = end;
  }
  add_text(text.size());
  return parts;
}

std::vector<Tokenizer::Part> Tokenizer::done(const Step& step, const Part& part) const {
  using Kind = Step::Kind;
  switch (step.kind) {
    case Kind::split:
      return split(step, part);
    case Kind::prepend:
      return {{part.text.empty() ? "" : step.text + part.text, -1, part.first}};
    case Kind::lead: {
      const bool has = part.text.compare(0, step.text.size(), step.text) == 0;
      const bool wanted = !has && (part.first || !step.flag);
      return {{wanted ? step.text + part.text : part.text, -1, part.first}};
    }
    default:
      break;
  }
  std::string text;
  size_t from = 0;
  for (const auto& [start, end] : patterns_[step.pattern].matches(part.text)) {
    text += part.text.substr(from, start - from) + step.text;
    from = end;
  }
  return {{text + part.text.substr(from), -1, part.first}};
}

std::vector<Tokenizer::Part> Tokenizer::split(const Step& step, const Part& part) const {
  struct Piece {
    size_t start, end;
    bool cut; // it separates the others
  };
  std::vector<Piece> pieces;
  size_t from = 0;
  for (const auto& [start, end] : patterns_[step.pattern].matches(part.text)) {
    if (from < start) {
      pieces.push_back({from, start, step.flag});
    }
    pieces.push_back({start, end, !step.flag});
    from = end;
  }
  if (from < part.text.size()) {
    pieces.push_back({from, part.text.size(), step.flag});
  }
  std::vector<Part> parts;
  bool joins = false; // the next piece belongs to the last part
  for (const auto& piece : pieces) {
    const auto text = part.text.substr(piece.start, piece.end - piece.start);
    if (piece.cut && step.behavior == removed) {
      continue;
    }
    if (joins && (step.behavior == with_previous || !piece.cut)) {
      parts.back().text += text;
      joins = false;
      continue;
    }
    parts.push_back({text, -1, part.first && piece.start == 0});
    joins = step.behavior == with_previous ? !piece.cut : piece.cut && step.behavior == with_next;
  }
  return parts;
}
