// Tells a story on the command line: Story MODEL [PROMPT]. Ctrl-C ends the program.
import Foundation
import Pith

@main
struct Story {
  static func main() async {
    let arguments = CommandLine.arguments.dropFirst()
    guard let path = arguments.first else {
      return complain("name a packed model: Story MODEL [PROMPT]")
    }
    let prompt = arguments.dropFirst().first ?? "Once upon a time"
    var options = SessionOptions()
    options.seed = 1
    do {
      let session = try Session(model: Model(contentsOf: URL(fileURLWithPath: path)), options: options)
      tell(prompt)
      for try await part in session.generate(prompt, maxTokens: 100) { tell(part) }
      tell("\n")
    } catch let error as PithError {
      complain("\(error)")
    } catch {
      complain("\(path): \(error.localizedDescription)")
    }
  }

  static func tell(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }

  static func complain(_ sentence: String) {
    FileHandle.standardError.write(Data("story: \(sentence)\n".utf8))
    exit(1)
  }
}
