import Foundation

enum Phase {
  case preparing, loading, ready, answering, failed
}

/// What the screen shows, and what it does.
@MainActor
final class ChatModel: ObservableObject {
  @Published private(set) var phase = Phase.preparing
  @Published private(set) var progress = 0.0
  @Published private(set) var messages: [Message] = []
  /// The answer while it is made.
  @Published private(set) var partial = ""
  @Published private(set) var notice = ""
  /// Tokens a second of the last answer.
  @Published private(set) var speed: Double?
  /// Tokens of the context, about.
  @Published private(set) var used = 0

  private var conversation = Conversation(
    form: BundleFacts.prompt, system: BundleFacts.system, contextLength: BundleFacts.contextLength,
    maxNewTokens: BundleFacts.maxNewTokens, tokensPerByte: BundleFacts.tokensPerByte)
  private var engine: Engine?
  private var answer: Answer?

  /// Brings the files and loads the model; also to be called to try again.
  func prepare() async {
    guard phase == .preparing || phase == .failed else { return }
    phase = .preparing
    notice = ""
    do {
      let files = try await broughtFiles()
      phase = .loading
      let engine = Engine(files)
      try await engine.load()
      self.engine = engine
      phase = .ready
    } catch {
      notice = Self.explain(error)
      phase = .failed
    }
  }

  func send(_ text: String) async {
    guard phase == .ready, !text.allSatisfy(\.isWhitespace) else { return }
    phase = .answering
    notice = ""
    do {
      try await answerTo(conversation.ask(text))
    } catch {
      notice = "The message is longer than the model's context."
    }
    messages = conversation.messages
    used = conversation.position
    partial = ""
    phase = .ready
  }

  func cancel() {
    answer?.cancel()
    engine?.stop()
  }

  func clear() {
    guard phase == .ready else { return }
    conversation.clear()
    messages = []
    notice = ""
    used = 0
  }

  private func broughtFiles() async throws -> ModelFiles {
    guard let base = BundleFacts.downloadURL else { return .ofApp(BundleFacts.files) }
    let files = try ModelFiles.downloaded(BundleFacts.files)
    let total = Double(files.total)
    try await files.bring(from: base) { done in
      Task { @MainActor in self.progress = Double(done) / total }
    }
    return files
  }

  private func answerTo(_ first: Feed) async {
    guard let engine else { return }
    var feed = first
    while true {
      let made = Answer(
        filter: AnswerFilter(turnTokens: BundleFacts.turnTokens, stopStrings: BundleFacts.stopStrings),
        maxTokens: feed.maxTokens)
      answer = made
      messages = conversation.messages
      do {
        try await engine.generate(feed, into: made) {
          Task { @MainActor in
            if self.answer === made { self.partial = made.text }
          }
        }
        conversation.answered(
          made.text, raw: made.raw, turnToken: made.turnToken, tokens: made.tokens)
        speed = made.speed ?? speed
        notice = made.end == .length ? "The answer reached its longest length." : forgotten
        return
      } catch {
        guard Self.isTooLong(error), made.tokens == 0, let shorter = conversation.shorter() else {
          failed(error, made)
          return
        }
        feed = shorter
      }
    }
  }

  /// An answer that broke off is kept; a question without any is taken back.
  private func failed(_ error: Error, _ made: Answer) {
    made.finish()
    if made.text.allSatisfy(\.isWhitespace) {
      conversation.takeBack()
    } else {
      conversation.answered(made.text, raw: made.raw, turnToken: nil, tokens: nil)
    }
    notice = Self.isTooLong(error) && made.tokens > 0
      ? "The answer reached the end of the model's context." : Self.explain(error)
  }

  /// Of a prompt, or of an answer whose next token has no place in the cache.
  private static func isTooLong(_ error: Error) -> Bool {
    (error as NSError).code == Failure.invalidArgument
  }

  private var forgotten: String {
    let count = conversation.forgotten
    return count == 0 ? "" : "The first \(count) messages no longer fit into the context."
  }

  private static func explain(_ error: Error) -> String {
    if let own = error as? ModelError { return own.localizedDescription }
    let other = error as NSError
    if other.domain.contains("executorch") || other.domain.contains("ExecuTorch") {
      return Failure.explain(other.code, executorch: BundleFacts.executorch)
    }
    return other.localizedDescription
  }
}
