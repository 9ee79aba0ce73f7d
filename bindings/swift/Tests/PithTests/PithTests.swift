import Foundation
import XCTest

@testable import Pith

/// With the model that the environment's PITH_MODEL names, such as tools/model/m.q4.gguf.
final class PithTests: XCTestCase {
  private func open() throws -> Model {
    let path = try XCTUnwrap(ProcessInfo.processInfo.environment["PITH_MODEL"], "PITH_MODEL names no model")
    return try Model(contentsOf: URL(fileURLWithPath: path))
  }

  private func greedy() -> SessionOptions {
    var options = SessionOptions()
    options.temperature = SessionOptions.greedy
    return options
  }

  private func whole(_ text: GeneratedText) async throws -> String {
    var out = ""
    for try await part in text { out += part }
    return out
  }

  func testAStoryIsTheSameAgain() async throws {
    let model = try open()
    let first = try await whole(Session(model: model, options: greedy()).generate("The fox", maxTokens: 60))
    let second = try await whole(Session(model: model, options: greedy()).generate("The fox", maxTokens: 60))
    XCTAssertGreaterThan(first.count, 100)
    XCTAssertEqual(first, second)
  }

  func testCancellingATaskStopsThePromptAndTakesItBack() async throws {
    let session = try Session(model: open(), options: greedy())
    let prompt = String(repeating: "The fox and the lantern. ", count: 100_000)
    let task = Task { try await whole(session.generate(prompt, maxTokens: 1)) }
    try await Task.sleep(nanoseconds: 300_000_000)
    task.cancel()
    do {
      _ = try await task.value
      XCTFail("the prompt was read to its end")
    } catch is CancellationError {}
    let position = await session.position()
    XCTAssertEqual(position, 0)
  }

  func testASavedSessionGoesOnWithTheSameText() async throws {
    let model = try open()
    let first = try Session(model: model)
    _ = try await whole(first.generate("Once upon a time", maxTokens: 30))
    let state = try await first.save()
    let rest = try await whole(first.generate(" Then", maxTokens: 30))
    let second = try Session(model: model)
    try await second.restore(state)
    let again = try await whole(second.generate(" Then", maxTokens: 30))
    XCTAssertEqual(rest, again)
  }

  func testAFailureHasAStatusAndASentence() throws {
    var options = SessionOptions()
    options.temperature = -5
    XCTAssertThrowsError(try Session(model: open(), options: options)) { error in
      XCTAssertEqual((error as? PithError)?.status, 10)
      XCTAssertTrue("\(error)".contains("temperature"), "\(error)")
    }
  }
}
