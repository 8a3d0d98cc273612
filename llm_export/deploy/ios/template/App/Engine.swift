import ExecuTorchLLM
import Foundation

/// The model in ExecuTorch, on a queue of its own.
final class Engine {
  private let queue = DispatchQueue(label: "engine", qos: .userInitiated)
  private let runner: TextRunner

  init(_ files: ModelFiles) {
    runner = TextRunner(modelPath: files.path("model.pte"), tokenizerPath: files.path("tokenizer.json"))
  }

  func load() async throws {
    try await onQueue { try $0.load() }
  }

  /// Lets the model answer.
  ///
  /// - Parameter onPiece: called after each token, on the engine's queue
  func generate(_ feed: Feed, into answer: Answer, onPiece: @escaping @Sendable () -> Void) async throws {
    try await onQueue { runner in
      if feed.reset { runner.reset() }
      let config = Config {
        $0.isEchoEnabled = false
        $0.maximumNewTokens = feed.maxTokens
        $0.temperature = BundleFacts.temperature
      }
      try runner.generate(feed.prompt, config) { piece in
        if !answer.push(piece) { runner.stop() }
        onPiece()
      }
      answer.finish()
    }
  }

  func stop() {
    runner.stop()
  }

  private func onQueue(_ work: @escaping @Sendable (TextRunner) throws -> Void) async throws {
    let runner = self.runner
    try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, Error>) in
      queue.async {
        done.resume(with: Result { try work(runner) })
      }
    }
  }
}
