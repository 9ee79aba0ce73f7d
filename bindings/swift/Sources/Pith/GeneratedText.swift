/// A text as it is made: an `AsyncSequence` of strings that may be shown at once.
///
/// Nothing is computed ahead of the reader. Every iteration makes a new text, which goes on after the last. Cancelling the task that
/// iterates ends the evaluation that runs.
public struct GeneratedText: AsyncSequence, Sendable {
  public typealias Element = String

  let session: Session
  let prompt: String
  let isQuestion: Bool
  let maxTokens: Int
  let stops: [String]

  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(text: self) }

  public struct AsyncIterator: AsyncIteratorProtocol {
    let text: GeneratedText
    private var number: Int?

    init(text: GeneratedText) { self.text = text }

    /// - Throws: `PithError`, or `CancellationError` where the task was cancelled.
    public mutating func next() async throws -> String? {
      let text = self.text
      do {
        let number: Int
        if let begun = self.number {
          number = begun
        } else {
          text.session.allow()
          number = try await text.session.evaluating {
            try text.session.begin(
              text.prompt, isQuestion: text.isQuestion, maxTokens: text.maxTokens, stops: text.stops)
          }
          self.number = number
        }
        while let part = try await text.session.evaluating({ try text.session.next(of: number) }) {
          if !part.isEmpty { return part }
        }
        return nil
      } catch {
        try Task.checkCancellation()
        throw error
      }
    }
  }
}
