package pith

/**
 * A packed model file. Immutable: sessions of any threads share it.
 *
 * The file must not be written to while it is open; replace it by renaming another one over it. [close] twice is fine. Sessions
 * keep what they need of the model: those that are open go on, new ones are refused.
 */
class Model private constructor(private var handle: Long) : AutoCloseable {
    /** Calls [use] with the handle, which stays valid meanwhile. */
    internal fun <T> with(use: (Long) -> T): T = synchronized(this) {
        if (handle == 0L) throw PithException(PithException.STATE, "model: it is closed")
        use(handle)
    }

    override fun close() = synchronized(this) {
        if (handle != 0L) Native.closeModel(handle)
        handle = 0L
    }

    companion object {
        /**
         * Maps the file: fast, and its pages go when memory is short.
         *
         * @throws PithException the file cannot be read, or is no model that runs; the message says what is wrong with it
         */
        fun open(path: String): Model = Model(Native.openModel(path.toByteArray()))

        /**
         * A part of the file that [descriptor] is open for, such as an asset inside an application's archive, stored without
         * compression. It is mapped where its offset is a multiple of 64, and otherwise read into memory. The descriptor may be
         * closed afterwards.
         *
         * @param offset of the model in the file, in bytes
         * @param length of the model, in bytes
         */
        fun open(descriptor: Int, offset: Long, length: Long): Model {
            if (offset < 0) throw PithException(PithException.ARGUMENT, "offset: $offset is negative")
            if (length < 0) throw PithException(PithException.ARGUMENT, "length: $length is negative; is the asset compressed?")
            return Model(Native.openModelAt(descriptor, offset, length))
        }
    }
}
