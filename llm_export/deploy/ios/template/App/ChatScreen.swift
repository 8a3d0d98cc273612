import SwiftUI

struct ChatScreen: View {
  @ObservedObject var model: ChatModel
  @State private var text = ""

  var body: some View {
    NavigationStack {
      VStack(spacing: 8) {
        Text(figures).font(.caption).foregroundStyle(.secondary)
        switch model.phase {
        case .preparing, .loading: preparing
        default: messages
        }
        if !model.notice.isEmpty {
          Text(model.notice).foregroundStyle(.red).font(.footnote)
        }
        if model.phase == .failed {
          Button("Try again") { Task { await model.prepare() } }
        }
        entry
      }
      .padding()
      .navigationTitle(BundleFacts.appName)
      .navigationBarTitleDisplayMode(.inline)
      .toolbar {
        ToolbarItem(placement: .topBarTrailing) {
          Button("New chat") { model.clear() }.disabled(model.phase != .ready)
        }
      }
    }
    .task { await model.prepare() }
  }

  private var figures: String {
    let context = "\(BundleFacts.model), \(model.used) / \(BundleFacts.contextLength) tokens"
    guard let speed = model.speed else { return context }
    return context + String(format: ", %.1f tokens/s", speed)
  }

  private var preparing: some View {
    VStack {
      Spacer()
      ProgressView(value: model.phase == .loading ? nil : model.progress) {
        Text(model.phase == .loading ? "Loading the model" : "Preparing the model")
      }
      Spacer()
    }
  }

  private var messages: some View {
    ScrollViewReader { scroll in
      ScrollView {
        LazyVStack(spacing: 8) {
          ForEach(Array(shown.enumerated()), id: \.offset) { at, message in
            Bubble(message: message).id(at)
          }
        }
      }
      .onChange(of: model.partial) {
        scroll.scrollTo(shown.count - 1, anchor: .bottom)
      }
    }
  }

  private var shown: [Message] {
    guard model.phase == .answering else { return model.messages }
    return model.messages + [Message(role: .assistant, text: model.partial)]
  }

  private var entry: some View {
    HStack {
      TextField("Message", text: $text, axis: .vertical)
        .lineLimit(1...5)
        .textFieldStyle(.roundedBorder)
      if model.phase == .answering {
        Button("Stop") { model.cancel() }
      } else {
        Button("Send") {
          let sent = text
          text = ""
          Task { await model.send(sent) }
        }
        .disabled(model.phase != .ready || text.allSatisfy(\.isWhitespace))
      }
    }
  }
}

private struct Bubble: View {
  let message: Message

  var body: some View {
    let own = message.role == .user
    Text(message.text)
      .textSelection(.enabled)
      .padding(12)
      .background(own ? Color.accentColor.opacity(0.2) : Color.secondary.opacity(0.15))
      .clipShape(RoundedRectangle(cornerRadius: 16))
      .frame(maxWidth: .infinity, alignment: own ? .trailing : .leading)
  }
}
