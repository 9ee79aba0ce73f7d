// A view that tells a story with the model that is the bundle's model.gguf, and stops when it goes away.
import Pith
import SwiftUI

struct StoryView: View {
  @State private var story = ""

  var body: some View {
    ScrollView {
      Text(story).padding()
    }
    .task {  // cancelled with the view, and with it the evaluation
      do {
        guard let url = Bundle.main.url(forResource: "model", withExtension: "gguf") else {
          story = "The bundle has no model.gguf."
          return
        }
        let session = try await Task.detached { try Session(model: Model(contentsOf: url)) }.value
        story = "Once upon a time"
        for try await part in session.generate(story, maxTokens: 200) {
          story += part
        }
      } catch is CancellationError {
      } catch {
        story += "\n\(error)"
      }
    }
  }
}
