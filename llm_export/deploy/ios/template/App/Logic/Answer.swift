import Foundation

/// Why an answer ended.
enum End {
  case turn, stopString, length, cancelled
}

/// An answer while it is made, by the thread of the runner, read and cancelled by others.
final class Answer: @unchecked Sendable {
  private let lock = NSLock()
  private let maxTokens: Int
  private var filter: AnswerFilter
  private var all = ""
  private var shown = ""
  private var pieces = 0
  private var begun: Date?
  private var more = false
  private var cancelled = false

  /// - Parameter maxTokens: pieces after which it ends
  init(filter: AnswerFilter, maxTokens: Int) {
    self.filter = filter
    self.maxTokens = maxTokens
  }

  /// What the user reads.
  var text: String { locked { shown } }

  /// What the runner made, without the turn token.
  var raw: String { locked { all } }

  var tokens: Int { locked { pieces } }

  /// The turn token, if it was the last piece: the cache then holds all that is before it.
  var turnToken: String? { locked { more ? nil : filter.turnToken } }

  var end: End? { locked { endNow } }

  /// Takes a piece, and tells whether the runner is to go on. It forgets a stop that comes before its
  /// second token, so tell it after each piece.
  func push(_ piece: String) -> Bool {
    locked {
      if filter.ended {
        more = true
        return false
      }
      pieces += 1
      if begun == nil { begun = Date() }
      shown += filter.push(piece)
      if filter.turnToken == nil { all += piece }
      return endNow == nil
    }
  }

  /// Tokens a second since the first.
  var speed: Double? {
    locked {
      guard let begun, pieces > 1 else { return nil }
      return Double(pieces - 1) / max(Date().timeIntervalSince(begun), 0.001)
    }
  }

  func cancel() {
    locked { cancelled = true }
  }

  /// To be called after the last piece.
  func finish() {
    locked { shown += filter.flush() }
  }

  private var endNow: End? {
    if filter.turnToken != nil { return .turn }
    if filter.ended { return .stopString }
    if cancelled { return .cancelled }
    return pieces >= maxTokens ? .length : nil
  }

  private func locked<T>(_ body: () -> T) -> T {
    lock.lock()
    defer { lock.unlock() }
    return body()
  }
}
