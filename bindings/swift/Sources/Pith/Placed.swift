import CPith

/// Memory at a multiple of PITH_ALIGNMENT.
final class Block {
  let address: UnsafeMutableRawPointer

  init(bytes: Int) {
    address = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 1), alignment: Int(PITH_ALIGNMENT))
  }

  deinit { address.deallocate() }
}

/// An object of pith.h, and the memory that it lies in.
final class Placed {
  let pointer: OpaquePointer
  private let block: Block

  /// - Parameters:
  ///   - ask: says how many bytes the object needs.
  ///   - make: makes it in that many bytes.
  init(
    ask: (UnsafeMutablePointer<Int>, UnsafeMutablePointer<pith_error>) -> pith_status,
    make: (UnsafeMutableRawPointer, Int, UnsafeMutablePointer<OpaquePointer?>, UnsafeMutablePointer<pith_error>)
      -> pith_status
  ) throws {
    var bytes = 0
    try check { ask(&bytes, $0) }
    let block = Block(bytes: bytes)
    var made: OpaquePointer?
    try check { make(block.address, bytes, &made, $0) }
    self.block = block
    self.pointer = made!  // set where the status is PITH_OK
  }
}
