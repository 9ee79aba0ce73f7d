package pith

/**
 * A call that failed.
 *
 * @property status a value of pith_status in pith.h, such as 17, PITH_E_CANCELLED
 * The message is the library's sentence, which names the argument, option or field at fault.
 */
class PithException(val status: Int, message: String) : RuntimeException(message) {
    /** By the native side. */
    constructor(status: Int, message: ByteArray) : this(status, String(message, Charsets.UTF_8))

    /** One short English phrase for the status. */
    val statusName: String get() = String(Native.statusName(status), Charsets.UTF_8)

    companion object {
        const val ARGUMENT = 10
        const val STATE = 14
        const val BUSY = 15
        const val CANCELLED = 17
    }
}
