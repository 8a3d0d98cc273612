/// What to give to the runner next.
struct Feed {
  let prompt: String
  /// Whether the runner has to forget what it was given before.
  let reset: Bool
  /// Tokens of the answer.
  let maxTokens: Int
}

struct ContextFull: Error {}

/// The messages, and what of them lies in the runner's cache, so that a turn feeds only what is new.
///
/// ExecuTorch's Swift classes do not count a prompt's tokens: they are estimated from its bytes.
struct Conversation {
  private let form: PromptForm
  private let system: String?
  private let contextLength: Int
  private let maxNewTokens: Int
  private let tokensPerByte: Double
  private var cached = ""
  private var fed = ""
  private var fedTokens = 0
  private var endOfTurn = ""

  private(set) var messages: [Message] = []

  /// Tokens in the cache, about.
  private(set) var position = 0

  /// Messages at the beginning that no longer fit, and are not fed any more.
  private(set) var forgotten = 0

  init(
    form: PromptForm, system: String?, contextLength: Int, maxNewTokens: Int, tokensPerByte: Double
  ) {
    self.form = form
    self.system = system
    self.contextLength = contextLength
    self.maxNewTokens = maxNewTokens
    self.tokensPerByte = tokensPerByte
  }

  /// Adds a message, and tells what to feed.
  ///
  /// - Throws: `ContextFull`: the message alone does not fit; it is not added.
  mutating func ask(_ text: String) throws -> Feed {
    messages.append(Message(role: .user, text: text))
    let whole = form.render(kept)
    if !cached.isEmpty && whole.utf8.starts(with: cached.utf8) {
      let rest = String(decoding: whole.utf8.dropFirst(cached.utf8.count), as: UTF8.self)
      let needed = position + estimate(rest)
      if rest.utf8.starts(with: endOfTurn.utf8) && needed + room <= contextLength {
        fed = whole
        fedTokens = estimate(rest)
        return Feed(prompt: rest, reset: false, maxTokens: allowed(needed))
      }
    }
    return try restart()
  }

  /// What to feed if the runner said that the prompt is too long; nil: it cannot be shorter.
  mutating func shorter() -> Feed? {
    guard forgetOldest() else { return nil }
    return try? restart()
  }

  /// Adds an answer.
  ///
  /// - Parameters:
  ///   - raw: all pieces without the turn token at the end
  ///   - turnToken: that ended it; nil: something else did, and the last token is not in the cache
  ///   - tokens: of the answer; nil: the runner failed
  mutating func answered(_ text: String, raw: String, turnToken: String?, tokens: Int?) {
    messages.append(Message(role: .assistant, text: text))
    guard let tokens else {
      forgetCache()
      return
    }
    position += fedTokens + tokens - 1
    cached = turnToken != nil && form.remembers ? fed + raw : ""
    endOfTurn = turnToken ?? ""
  }

  /// Takes back the last question, which got no answer.
  mutating func takeBack() {
    forgetCache()
    messages.removeLast()
  }

  mutating func clear() {
    messages = []
    forgotten = 0
    forgetCache()
  }

  private mutating func restart() throws -> Feed {
    forgetCache()
    while estimate(form.render(kept)) + room > contextLength && forgetOldest() {
      // One exchange less each time.
    }
    fed = form.render(kept)
    fedTokens = estimate(fed)
    // No token is longer than that, but for a few of white space.
    if fed.utf8.count / 64 > contextLength {
      messages.removeLast()
      throw ContextFull()
    }
    return Feed(prompt: fed, reset: true, maxTokens: allowed(fedTokens))
  }

  private var kept: [Message] {
    let recent = form.remembers ? Array(messages.dropFirst(forgotten)) : Array(messages.suffix(1))
    let first = system.map { [Message(role: .system, text: $0)] } ?? []
    return first + Self.answeredOnly(recent)
  }

  /// Templates are known for texts that are not empty.
  private static func answeredOnly(_ recent: [Message]) -> [Message] {
    recent.indices.filter { at in
      let answerAt = recent[at].role == .user ? at + 1 : at
      return !recent.indices.contains(answerAt) || !isBlank(recent[answerAt].text)
    }.map { recent[$0] }
  }

  private static func isBlank(_ text: String) -> Bool {
    text.unicodeScalars.allSatisfy { $0.properties.isWhitespace }
  }

  private mutating func forgetOldest() -> Bool {
    guard form.remembers && messages.count - forgotten >= 3 else { return false }
    forgotten += 2
    return true
  }

  private mutating func forgetCache() {
    cached = ""
    endOfTurn = ""
    position = 0
  }

  private func allowed(_ used: Int) -> Int { min(maxNewTokens, max(1, contextLength - used)) }

  private var room: Int { min(maxNewTokens, contextLength / 4) }

  private func estimate(_ text: String) -> Int { Int(Double(text.utf8.count) * tokensPerByte) + 1 }
}
