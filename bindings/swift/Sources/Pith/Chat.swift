import CPith

/// A conversation's messages as tokens, by the format of the file or a named one.
final class Chat {
  private let model: Model
  private let placed: Placed

  /// - Throws: `PithError` where the file has no template (PITH_E_MISSING), none that is known, or `template` is no name of one.
  init(model: Model, template: String?) throws {
    var options = pith_chat_options()
    pith_chat_options_init(&options, UInt32(MemoryLayout<pith_chat_options>.size))
    func make() throws -> Placed {
      try Placed(
        ask: { pith_chat_bytes(model.model.pointer, model.tokenizer.pointer, &options, $0, $1) },
        make: { pith_chat_init(model.model.pointer, model.tokenizer.pointer, &options, $0, $1, $2, $3) })
    }
    self.model = model
    if let template {
      placed = try template.withCString { name in
        options.template_name = name
        return try make()
      }
    } else {
      placed = try make()
    }
  }

  func isEnd(_ token: Int32) -> Bool { pith_chat_is_end(placed.pointer, token) != 0 }

  /// Texts that end an answer as well.
  var stops: [String] {
    var out: [String] = []
    while let stop = pith_chat_stop(placed.pointer, out.count) { out.append(String(cString: stop)) }
    return out
  }

  /// `flags`: pith_chat_flags.
  func encode(_ messages: [(role: pith_role, text: String)], flags: UInt32) throws -> [Int32] {
    let texts = messages.map { StableBytes($0.text) }
    let list = zip(messages, texts).map { message, text in
      pith_message(
        role: UInt32(message.role.rawValue), reserved: 0, content: text.address, content_bytes: text.count)
    }
    return try withExtendedLifetime(texts) { () throws -> [Int32] in
      var work = [UInt8](repeating: 0, count: pith_chat_work_bytes(placed.pointer, list, list.count, flags) + 1)
      var tokens = [Int32](repeating: 0, count: 64)
      var count = 0
      func attempt() throws {
        try check {
          pith_chat_encode(
            placed.pointer, list, list.count, flags, &tokens, tokens.count, &count, &work, work.count, $0)
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
  }
}

/// A text's bytes, and a 0 behind them, at an address that stays.
final class StableBytes {
  let address: UnsafePointer<CChar>
  let count: Int
  private let buffer: UnsafeMutableBufferPointer<CChar>

  init(_ text: String) {
    let bytes = text.utf8CString
    let buffer = UnsafeMutableBufferPointer<CChar>.allocate(capacity: bytes.count)
    _ = buffer.initialize(from: bytes)
    self.buffer = buffer
    address = UnsafePointer(buffer.baseAddress!)
    count = bytes.count - 1
  }

  deinit { buffer.deallocate() }
}
