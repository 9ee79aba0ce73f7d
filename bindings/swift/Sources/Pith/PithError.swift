import CPith

/// A call that failed.
public struct PithError: Error, CustomStringConvertible, Sendable {
  /// A value of pith_status in pith.h, such as 17, PITH_E_CANCELLED.
  public let status: UInt32
  /// The library's sentence, which names the argument, option or field at fault.
  public let message: String

  public var description: String { "\(message) (\(String(cString: pith_status_string(pith_status(status)))))" }

  init(_ status: pith_status, _ message: String) {
    self.status = UInt32(status.rawValue)
    self.message = message
  }
}

/// Throws what a call of pith.h said.
func check(_ call: (UnsafeMutablePointer<pith_error>) -> pith_status) throws {
  var error = pith_error()
  let status = call(&error)
  if status == PITH_OK { return }
  let message = withUnsafeBytes(of: error.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  throw PithError(status, message)
}
