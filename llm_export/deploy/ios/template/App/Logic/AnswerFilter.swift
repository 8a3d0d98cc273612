/// Takes an answer out of the pieces of a runner, which passes on the token that ends the turn too.
struct AnswerFilter {
  private let turnTokens: Set<[UInt8]>
  private let stops: [[UInt8]]
  private var held: [UInt8] = []

  /// Whether the answer has ended: nothing that follows belongs to it.
  private(set) var ended = false

  /// The turn token that ended the answer.
  private(set) var turnToken: String?

  /// - Parameters:
  ///   - turnTokens: pieces that end the answer
  ///   - stopStrings: texts that end it, also where they are spread over pieces
  init(turnTokens: [String], stopStrings: [String]) {
    // Bytes, because Swift's strings are equal and are found by characters.
    self.turnTokens = Set(turnTokens.map { Array($0.utf8) })
    stops = stopStrings.map { Array($0.utf8) }.filter { !$0.isEmpty }
  }

  /// The part of the answer that this piece completes.
  mutating func push(_ piece: String) -> String {
    if ended { return "" }
    let bytes = Array(piece.utf8)
    if turnTokens.contains(bytes) {
      turnToken = piece
      ended = true
      return take(held.count)
    }
    held += bytes
    if let found = stops.compactMap({ firstIndex($0) }).min() {
      ended = true
      return take(found)
    }
    return take(held.count - beginning())
  }

  /// What was held back, once no more pieces come.
  mutating func flush() -> String {
    ended ? "" : take(held.count)
  }

  private func firstIndex(_ stop: [UInt8]) -> Int? {
    guard held.count >= stop.count else { return nil }
    return (0...(held.count - stop.count)).first { held[$0...].starts(with: stop) }
  }

  /// Bytes at the end that may begin a stop string.
  private func beginning() -> Int {
    stops.map { stop in
      (0..<min(stop.count, held.count + 1)).last { held.suffix($0).elementsEqual(stop.prefix($0)) } ?? 0
    }.max() ?? 0
  }

  private mutating func take(_ count: Int) -> String {
    let out = String(decoding: held.prefix(count), as: UTF8.self)
    held = ended ? [] : Array(held.dropFirst(count))
    return out
  }
}
