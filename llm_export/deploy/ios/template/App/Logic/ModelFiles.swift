import CryptoKit
import Foundation

/// A file of the model, as it has to be.
struct ModelFile {
  let name: String
  let bytes: Int64
  let sha256: String
}

enum ModelError: LocalizedError {
  case damaged(String)
  case short(String)
  case status(Int, String)
  case noRoom(Int64, Int64)

  var errorDescription: String? {
    switch self {
    case .damaged(let name): return "\(name) is damaged: its SHA-256 is another one."
    case .short(let name): return "\(name) ended early. Try again."
    case .status(let code, let name): return "The server answers \(code) for \(name)."
    case .noRoom(let needed, let free):
      return "The model needs \(needed / 1_000_000) MB, and \(free / 1_000_000) MB are free."
    }
  }
}

/// The model's folder. A downloaded file has its name only when it is whole and its SHA-256 is right,
/// and the folder is called by those digests, so that an update of the app brings its own files.
struct ModelFiles {
  let files: [ModelFile]
  let folder: URL

  var total: Int64 { files.reduce(0) { $0 + $1.bytes } }

  /// Files that are a part of the app. ExecuTorch maps them from there.
  static func ofApp(_ files: [ModelFile]) -> ModelFiles {
    ModelFiles(files: files, folder: Bundle.main.bundleURL.appendingPathComponent("Model"))
  }

  /// Files that are downloaded.
  static func downloaded(_ files: [ModelFile]) throws -> ModelFiles {
    let parent = try FileManager.default.url(
      for: .applicationSupportDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
    let name = "model-" + files.map { String($0.sha256.prefix(16)) }.joined(separator: "-")
    return ModelFiles(files: files, folder: parent.appendingPathComponent(name))
  }

  func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

  var missing: [ModelFile] { files.filter { size(folder.appendingPathComponent($0.name)) != $0.bytes } }

  /// Brings all files.
  ///
  /// - Parameter progress: bytes that are there of `total`
  func bring(from base: URL, progress: @escaping @Sendable (Int64) -> Void) async throws {
    try removeOthers()
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    var place = folder
    var values = URLResourceValues()
    values.isExcludedFromBackup = true
    try place.setResourceValues(values)
    let wanted = missing
    try requireRoom(wanted.reduce(0) { $0 + $1.bytes - size(part($1)) })
    var done = total - wanted.reduce(0) { $0 + $1.bytes }
    for file in wanted {
      let before = done
      try await bringOne(file, from: base) { progress(before + $0) }
      done += file.bytes
    }
    progress(total)
  }

  private func bringOne(
    _ file: ModelFile, from base: URL, progress: @escaping @Sendable (Int64) -> Void
  ) async throws {
    let part = self.part(file)
    if size(part) > file.bytes { try FileManager.default.removeItem(at: part) }
    if size(part) < file.bytes {
      let download = Download(file: file, part: part, progress: progress)
      try await download.run(base.appendingPathComponent(file.name))
    }
    if size(part) != file.bytes { throw ModelError.short(file.name) }
    if try digest(part) != file.sha256 {
      try FileManager.default.removeItem(at: part)
      throw ModelError.damaged(file.name)
    }
    let place = folder.appendingPathComponent(file.name)
    try? FileManager.default.removeItem(at: place)
    try FileManager.default.moveItem(at: part, to: place)
  }

  private func part(_ file: ModelFile) -> URL { folder.appendingPathComponent(file.name + ".part") }

  private func size(_ url: URL) -> Int64 {
    let values = try? FileManager.default.attributesOfItem(atPath: url.path)
    return (values?[.size] as? NSNumber)?.int64Value ?? 0
  }

  private func digest(_ url: URL) throws -> String {
    let handle = try FileHandle(forReadingFrom: url)
    defer { try? handle.close() }
    var hash = SHA256()
    while let block = try handle.read(upToCount: 1 << 20), !block.isEmpty {
      hash.update(data: block)
    }
    return hash.finalize().map { String(format: "%02x", $0) }.joined()
  }

  private func requireRoom(_ needed: Int64) throws {
    let key = URLResourceKey.volumeAvailableCapacityForImportantUsageKey
    let values = try folder.resourceValues(forKeys: [key])
    guard let free = values.volumeAvailableCapacityForImportantUsage else { return }
    if free < needed { throw ModelError.noRoom(needed, free) }
  }

  private func removeOthers() throws {
    let parent = folder.deletingLastPathComponent()
    for other in try FileManager.default.contentsOfDirectory(at: parent, includingPropertiesForKeys: nil)
    where other.lastPathComponent.hasPrefix("model-") && other.lastPathComponent != folder.lastPathComponent {
      try? FileManager.default.removeItem(at: other)
    }
  }
}
