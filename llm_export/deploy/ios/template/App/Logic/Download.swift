import Foundation

/// One file of a server. Goes on where it stopped, if the server can (HTTP ranges, RFC 9110).
final class Download: NSObject, URLSessionDataDelegate {
  private let file: ModelFile
  private let part: URL
  private let progress: @Sendable (Int64) -> Void
  private var handle: FileHandle?
  private var there: Int64 = 0
  private var failure: Error?
  private var finished: CheckedContinuation<Void, Error>?

  init(file: ModelFile, part: URL, progress: @escaping @Sendable (Int64) -> Void) {
    self.file = file
    self.part = part
    self.progress = progress
  }

  /// Appends to the part what it lacks.
  func run(_ url: URL) async throws {
    if !FileManager.default.fileExists(atPath: part.path) {
      FileManager.default.createFile(atPath: part.path, contents: nil)
    }
    let handle = try FileHandle(forWritingTo: part)
    self.handle = handle
    there = try Int64(handle.seekToEnd())
    var request = URLRequest(url: url, cachePolicy: .reloadIgnoringLocalCacheData)
    // A transparent compression would count other bytes than the file's.
    request.setValue("identity", forHTTPHeaderField: "Accept-Encoding")
    if there > 0 { request.setValue("bytes=\(there)-", forHTTPHeaderField: "Range") }
    let session = URLSession(configuration: .ephemeral, delegate: self, delegateQueue: nil)
    defer {
      session.finishTasksAndInvalidate()
      try? handle.close()
    }
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, Error>) in
      finished = continuation
      session.dataTask(with: request).resume()
    }
  }

  func urlSession(
    _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
    completionHandler: @escaping (URLSession.ResponseDisposition) -> Void
  ) {
    do {
      try begin(response)
      completionHandler(.allow)
    } catch {
      failure = error
      completionHandler(.cancel)
    }
  }

  func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
    there += Int64(data.count)
    do {
      if there > file.bytes { throw ModelError.damaged(file.name) }
      try handle?.write(contentsOf: data)
      progress(there)
    } catch {
      failure = error
      dataTask.cancel()
    }
  }

  func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: Error?) {
    if let own = failure as? ModelError, case .damaged = own {
      try? FileManager.default.removeItem(at: part)
    }
    if let error = failure ?? error {
      finished?.resume(throwing: error)
    } else {
      finished?.resume()
    }
    finished = nil
  }

  private func begin(_ response: URLResponse) throws {
    let code = (response as? HTTPURLResponse)?.statusCode ?? 0
    let range = (response as? HTTPURLResponse)?.value(forHTTPHeaderField: "Content-Range") ?? ""
    if code == 206 && range.hasPrefix("bytes \(there)-") { return }
    guard code == 200 else { throw ModelError.status(code, file.name) }
    try handle?.truncate(atOffset: 0)
    there = 0
  }
}
