import CPith
import Dispatch
import Foundation

/// How a session remembers and draws. Zero means the default of pith.h everywhere.
public struct SessionOptions: Sendable {
  /// Tokens that the session remembers; 0: what the model was trained with.
  public var context: UInt32 = 0
  /// 1 ... 64; 0: as many as the system has active processors.
  public var threads: UInt32 = 0
  /// Above 0, or `greedy` for the likeliest token; 0: 0.8.
  public var temperature: Float = 0
  public var topK: UInt32 = 0
  public var topP: Float = 0
  public var minP: Float = 0
  public var repeatPenalty: Float = 0
  /// The same seed and calls give the same text on every machine.
  public var seed: UInt64 = 0
  /// What a conversation begins with: it stays when the memory is full; nil: the file's own, if it has one.
  public var system: String?
  /// The chat format by name, such as "chatml"; nil: that of the file.
  public var template: String?

  public static let greedy: Float = -1

  public init() {}
}

/// One text or conversation with a model, which it remembers from call to call.
///
/// Any task may call it: calls wait for each other. A text that is begun ends the one before it, whose iteration then throws.
public final class Session: @unchecked Sendable {
  private let model: Model
  private let chat: Chat?  // nil: the file has no template, and none was named
  private let system: String?
  private let session: Placed
  private let sampler: Placed
  private let cancellation: Cancellation
  private let queue = DispatchQueue(label: "pith.session", qos: .userInitiated)  // evaluations take a thread for long
  // Of the text that is made, on the queue alone.
  private var stream = pith_stream()
  private var isAnswer = false
  private var tokensLeft = 0
  private var text = 0  // its number

  public init(model: Model, options: SessionOptions = SessionOptions()) throws {
    self.model = model
    system = options.system
    var chat: Chat?
    do {
      chat = try Chat(model: model, template: options.template)
    } catch let error as PithError {
      if options.template != nil { throw error }
    }
    self.chat = chat
    var sampling = pith_sampler_options()
    pith_sampler_options_init(&sampling, UInt32(MemoryLayout<pith_sampler_options>.size))
    sampling.temperature = options.temperature
    sampling.top_k = options.topK
    sampling.top_p = options.topP
    sampling.min_p = options.minP
    sampling.repeat_penalty = options.repeatPenalty
    sampling.seed = options.seed
    let vocabularySize = model.vocabularySize
    sampler = try Placed(
      ask: { pith_sampler_bytes(&sampling, vocabularySize, $0, $1) },
      make: { pith_sampler_init(&sampling, vocabularySize, $0, $1, $2, $3) })

    let cancellation = Cancellation()
    var remembering = pith_session_options()
    pith_session_options_init(&remembering, UInt32(MemoryLayout<pith_session_options>.size))
    remembering.capacity = options.context
    remembering.max_threads =
      options.threads != 0 ? options.threads : UInt32(min(max(ProcessInfo.processInfo.activeProcessorCount, 1), 64))
    remembering.progress_context = Unmanaged.passUnretained(cancellation).toOpaque()
    remembering.progress = { context, _, _ in
      guard let context else { return }
      Unmanaged<Cancellation>.fromOpaque(context).takeUnretainedValue().passOn()
    }
    if let chat {  // what a conversation begins with stays when the cache is full
      let first = options.system.map { [(role: PITH_ROLE_SYSTEM, text: $0)] } ?? []
      remembering.n_keep = UInt32(try chat.encode(first, flags: 0).count)
    }
    let session = try Placed(
      ask: { pith_session_bytes(model.model.pointer, &remembering, $0, $1) },
      make: { pith_session_init(model.model.pointer, &remembering, $0, $1, $2, $3) })
    cancellation.session = session.pointer
    self.session = session
    self.cancellation = cancellation
  }

  /// The text after `prompt`, as it is made: at most `maxTokens` tokens, up to the model's end or one of `stops`.
  public func generate(_ prompt: String, maxTokens: Int = 256, stops: [String] = []) -> GeneratedText {
    GeneratedText(session: self, prompt: prompt, isQuestion: false, maxTokens: maxTokens, stops: stops)
  }

  /// The model's answer to the next `question` of the conversation.
  public func answer(_ question: String, maxTokens: Int = 1024, stops: [String] = []) -> GeneratedText {
    GeneratedText(session: self, prompt: question, isQuestion: true, maxTokens: maxTokens, stops: stops)
  }

  /// Ends the text that is being made, within a layer's time: its iteration throws. Without one, nothing happens.
  public func cancel() { cancellation.cancel() }

  /// A text begins: what was cancelled before is not meant.
  func allow() { cancellation.clear() }

  /// Tokens so far.
  public func position() async -> UInt64 { (try? await run { pith_session_position(self.session.pointer) }) ?? 0 }

  /// Forgets everything.
  public func reset() async throws {
    try await run {
      self.text += 1
      try check { pith_session_reset(self.session.pointer, $0) }
    }
  }

  /// All that the session remembers, and the generator of its draws; for `restore`, in another process too.
  public func save() async throws -> (session: Data, sampler: Data) {
    try await run {
      let session = try self.state(pith_session_state_bytes(self.session.pointer)) {
        pith_session_save(self.session.pointer, $0, $1, $2, $3)
      }
      return (session, try self.samplerState())
    }
  }

  /// Goes on where `state` was saved, by a session of the same model and options. Damage is refused.
  public func restore(_ state: (session: Data, sampler: Data)) async throws {
    try await run {
      self.text += 1
      let before = try self.samplerState()
      try self.restoreSampler(state.sampler)
      do {
        try state.session.withUnsafeBytes { bytes in
          try check { pith_session_restore(self.session.pointer, bytes.baseAddress, bytes.count, $0) }
        }
      } catch {
        try self.restoreSampler(before)
        throw error
      }
    }
  }

  private func samplerState() throws -> Data {
    try state(pith_sampler_state_bytes(sampler.pointer)) { pith_sampler_save(self.sampler.pointer, $0, $1, $2, $3) }
  }

  private func restoreSampler(_ state: Data) throws {
    try state.withUnsafeBytes { bytes in
      try check { pith_sampler_restore(self.sampler.pointer, bytes.baseAddress, bytes.count, $0) }
    }
  }

  private func state(
    _ capacity: Int,
    _ save: (UnsafeMutableRawPointer, Int, UnsafeMutablePointer<Int>, UnsafeMutablePointer<pith_error>) -> pith_status
  ) throws -> Data {
    let block = Block(bytes: capacity)
    var bytes = 0
    try check { save(block.address, capacity, &bytes, $0) }
    return Data(bytes: block.address, count: bytes)
  }

  /// On the session's queue.
  private func run<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      queue.async { continuation.resume(with: Result(catching: work)) }
    }
  }

  /// The same; cancelling the task cancels the session.
  func evaluating<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    let cancellation = self.cancellation
    return try await withTaskCancellationHandler {
      try Task.checkCancellation()
      return try await run(work)
    } onCancel: {
      cancellation.cancel()
    }
  }

  /// Reads a prompt, or a question; the number of the text that begins. On the queue.
  func begin(_ prompt: String, isQuestion: Bool, maxTokens: Int, stops: [String]) throws -> Int {
    text += 1
    tokensLeft = 0
    let isFirst = pith_session_position(session.pointer) == 0
    let tokens = try encode(prompt, isQuestion: isQuestion, isFirst: isFirst)
    let ends = ((isQuestion ? chat?.stops : nil) ?? []) + stops
    let texts = ends.map { StableBytes($0) }
    let pointers: [UnsafePointer<CChar>?] = texts.map { $0.address }
    stream = pith_stream()
    stream.struct_size = UInt32(MemoryLayout<pith_stream>.size)
    try withExtendedLifetime(texts) {
      try check { pith_stream_init(&stream, pointers, pointers.count, $0) }
    }
    isAnswer = isQuestion
    try evaluate(tokens)
    for token in tokens { try check { pith_sampler_accept(sampler.pointer, token, $0) } }
    tokensLeft = maxTokens
    return text
  }

  private func encode(_ prompt: String, isQuestion: Bool, isFirst: Bool) throws -> [Int32] {
    if !isQuestion {
      let flags = isFirst ? PITH_ENCODE_DEFAULT : PITH_ENCODE_NO_BOS
      return try model.encode(prompt, flags: UInt32(flags.rawValue))
    }
    guard let chat else {
      throw PithError(PITH_E_MISSING, "template: the file has none; name one of pith's in SessionOptions")
    }
    var messages = [(role: PITH_ROLE_USER, text: prompt)]
    if isFirst, let system { messages.insert((role: PITH_ROLE_SYSTEM, text: system), at: 0) }
    var flags = UInt32(PITH_CHAT_ANSWER.rawValue)
    if !isFirst { flags |= UInt32(PITH_CHAT_AFTER_ANSWER.rawValue) }
    return try chat.encode(messages, flags: flags)
  }

  /// A prompt that was cancelled is taken back.
  private func evaluate(_ tokens: [Int32]) throws {
    let start = pith_session_position(session.pointer)
    do {
      try check { pith_session_eval(session.pointer, tokens, tokens.count, $0) }
    } catch let error as PithError {
      if error.status == UInt32(PITH_E_CANCELLED.rawValue) {
        do {
          try check { pith_session_rewind(session.pointer, start, $0) }
        } catch {
          try check { pith_session_reset(session.pointer, $0) }
        }
      }
      throw error
    }
  }

  /// The next part of text `number`, possibly none; nil at its end. On the queue.
  func next(of number: Int) throws -> String? {
    if number != text { throw PithError(PITH_E_STATE, "text: another one was begun, or the session was reset or restored") }
    if tokensLeft == 0 { return nil }
    if cancellation.isCancelled { throw PithError(PITH_E_CANCELLED, "cancelled between two tokens") }
    var token: Int32 = 0
    try check { pith_sampler_draw(sampler.pointer, pith_session_logits(session.pointer), &token, $0) }
    let isEnd = isAnswer ? chat?.isEnd(token) ?? false : pith_tokenizer_is_end(model.tokenizer.pointer, token) != 0
    var out = ""
    if !isEnd {
      let bytes = try model.decode(token)
      out = try shown(bytes.count) {
        pith_stream_push(&self.stream, bytes.baseAddress, bytes.count, $0, $1, $2, $3)
      }
    }
    if isEnd || stream.stopped != 0 {
      tokensLeft = 0
    } else {
      try check { pith_session_eval(session.pointer, &token, 1, $0) }
      tokensLeft -= 1
    }
    if tokensLeft == 0 { out += try shown(0) { pith_stream_finish(&self.stream, $0, $1, $2, $3) } }
    return out
  }

  private func shown(
    _ bytes: Int,
    _ call: (UnsafeMutablePointer<CChar>, Int, UnsafeMutablePointer<Int>, UnsafeMutablePointer<pith_error>) -> pith_status
  ) throws -> String {
    let capacity = pith_stream_capacity(bytes)
    let block = Block(bytes: capacity)
    let out = block.address.bindMemory(to: CChar.self, capacity: max(capacity, 1))
    var count = 0
    try check { call(out, capacity, &count, $0) }
    return String(decoding: UnsafeRawBufferPointer(start: block.address, count: count), as: UTF8.self)
  }
}

/// Cancels a session from any task. pith_session_cancel alone would miss an evaluation that is about to begin: progress and
/// `next` ask as well.
final class Cancellation: @unchecked Sendable {
  private let lock = NSLock()
  private var isAsked = false
  var session: OpaquePointer?  // set once, before anybody else has this object

  func cancel() {
    lock.lock()
    isAsked = true
    lock.unlock()
    if let session { pith_session_cancel(session) }
  }

  func clear() {
    lock.lock()
    isAsked = false
    lock.unlock()
  }

  var isCancelled: Bool {
    lock.lock()
    defer { lock.unlock() }
    return isAsked
  }

  /// On the thread that evaluates.
  func passOn() {
    if isCancelled, let session { pith_session_cancel(session) }
  }
}
