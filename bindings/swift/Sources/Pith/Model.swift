import CPith
import Foundation

/// A packed model file, mapped. Immutable: share it between sessions and tasks.
///
/// The file must not be written to while it is open; replace it by renaming another one over it.
public final class Model: @unchecked Sendable {
  private let file: NSData
  private let copy: Block?  // of a file that the system did not map, and that lies wrong
  let model: Placed
  let tokenizer: Placed
  let vocabularySize: UInt32

  /// - Throws: Foundation's error where the file cannot be read; `PithError` where it is no model that runs, with a sentence that says
  ///   what is wrong with it.
  public init(contentsOf url: URL) throws {
    let file = try NSData(contentsOf: url, options: .alwaysMapped)
    var data = UnsafeRawPointer(file.bytes)
    let size = file.length
    var copy: Block?
    if pith_alignment_shift(data) != 0 {
      let block = Block(bytes: size)
      block.address.copyMemory(from: data, byteCount: size)
      data = UnsafeRawPointer(block.address)
      copy = block
    }
    let bytes = data
    let model = try Placed(
      ask: { pith_model_bytes(bytes, size, $0, $1) },
      make: { pith_model_init(bytes, size, $0, $1, $2, $3) })
    let tokenizer = try Placed(
      ask: { pith_tokenizer_bytes(model.pointer, $0, $1) },
      make: { pith_tokenizer_init(model.pointer, $0, $1, $2, $3) })
    var info = pith_model_info()
    info.struct_size = UInt32(MemoryLayout<pith_model_info>.size)
    try check { pith_model_get_info(model.pointer, &info, $0) }
    self.file = file
    self.copy = copy
    self.model = model
    self.tokenizer = tokenizer
    self.vocabularySize = info.vocab_size
  }

  /// `flags`: pith_encode_flags.
  func encode(_ text: String, flags: UInt32) throws -> [Int32] {
    let bytes = text.utf8.count
    var tokens = [Int32](repeating: 0, count: bytes + 2)
    var work = [UInt8](repeating: 0, count: pith_tokenizer_work_bytes(bytes) + 1)
    var count = 0
    func attempt() throws {
      try check {
        pith_tokenizer_encode(
          tokenizer.pointer, text, bytes, flags, &tokens, tokens.count, &count, &work, work.count, $0)
      }
    }
    do {
      try attempt()
    } catch let error as PithError where error.status == UInt32(PITH_E_CAPACITY.rawValue) {
      tokens = [Int32](repeating: 0, count: count)
      try attempt()
    }
    return Array(tokens.prefix(count))
  }

  /// The bytes of a token: possibly a part of a character.
  func decode(_ token: Int32) throws -> UnsafeBufferPointer<CChar> {
    var text: UnsafePointer<CChar>?
    var bytes = 0
    try check { pith_tokenizer_decode(tokenizer.pointer, token, &text, &bytes, $0) }
    return UnsafeBufferPointer(start: text, count: bytes)
  }
}
