enum Role: String {
  case system, user, assistant
}

struct Message: Equatable {
  let role: Role
  let text: String
}

/// The texts before and after a message.
struct Around {
  let prefix: String
  let suffix: String
}

/// Makes the text that the model continues.
protocol PromptForm {
  /// Whether earlier messages are part of the text.
  var remembers: Bool { get }

  func render(_ messages: [Message]) -> String
}

/// A chat template that puts texts around messages.
struct Turns: PromptForm {
  /// Before the first message, unless that is the system's.
  let start: String
  /// Of each role; messages of another role are left out.
  let around: [Role: Around]
  let generationPrompt: String
  /// Whether white space around a message is removed.
  let trims: Bool
  /// Whether an answer's text up to its last `</think>` is removed.
  let dropsReasoning: Bool

  let remembers = true

  func render(_ messages: [Message]) -> String {
    let shown = messages.filter { around[$0.role] != nil }
    var text = shown.first?.role == .system ? "" : start
    for message in shown {
      guard let texts = around[message.role] else { continue }
      text += texts.prefix + content(message) + texts.suffix
    }
    return text + generationPrompt
  }

  private func content(_ message: Message) -> String {
    // Scalars, because Swift's characters may join what the tokenizer keeps apart.
    var text = Substring(message.text).unicodeScalars
    if dropsReasoning && message.role == .assistant {
      text = afterReasoning(text)
    }
    if trims {
      text = Self.trimmed(text)
    }
    return String(text)
  }

  private func afterReasoning(_ text: Substring.UnicodeScalarView) -> Substring.UnicodeScalarView {
    let end = Array("</think>".unicodeScalars)
    var at = text.endIndex
    while at > text.startIndex {
      at = text.index(before: at)
      if text[at...].starts(with: end) {
        return text[text.index(at, offsetBy: end.count)...].drop { $0 == "\n" }
      }
    }
    return text
  }

  private static func trimmed(_ text: Substring.UnicodeScalarView) -> Substring.UnicodeScalarView {
    var rest = text.drop(while: isSpace)
    while let last = rest.last, isSpace(last) {
      rest.removeLast()
    }
    return rest
  }

  /// As the `trim` of Jinja: four separators (U+001C to U+001F) beside Unicode's white space.
  private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
  }
}

/// A base model continues the last text.
struct RawText: PromptForm {
  let bos: String

  let remembers = false

  func render(_ messages: [Message]) -> String {
    bos + (messages.last?.text ?? "")
  }
}
