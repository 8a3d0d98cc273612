import SwiftUI

@main
struct ChatApp: App {
  @StateObject private var model = ChatModel()

  init() {
    assert(
      BundleFacts.prompt.render(BundleFacts.example) == BundleFacts.exampleText,
      "the prompt is not the one that the model's chat template renders")
  }

  var body: some Scene {
    WindowGroup {
      ChatScreen(model: model)
    }
  }
}
