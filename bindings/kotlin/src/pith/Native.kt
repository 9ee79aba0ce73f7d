package pith

/** The functions of jni/pith_jni.cpp. Texts are UTF-8; handles are addresses, which Model and Session keep. */
internal object Native {
    init {
        System.loadLibrary("pith_jni")
    }

    @JvmStatic external fun statusName(status: Int): ByteArray
    @JvmStatic external fun openModel(path: ByteArray): Long
    @JvmStatic external fun openModelAt(descriptor: Int, offset: Long, bytes: Long): Long
    @JvmStatic external fun closeModel(model: Long)
    @JvmStatic external fun openSession(
        model: Long, context: Int, threads: Int, temperature: Float, topK: Int, topP: Float, minP: Float,
        repeatPenalty: Float, seed: Long, system: ByteArray?, template: ByteArray?,
    ): Long
    @JvmStatic external fun closeSession(session: Long)
    @JvmStatic external fun begin(session: Long, text: ByteArray, isQuestion: Boolean, maxTokens: Int, stops: Array<ByteArray>)
    @JvmStatic external fun next(session: Long): ByteArray?
    @JvmStatic external fun cancel(session: Long)
    @JvmStatic external fun clearCancel(session: Long)
    @JvmStatic external fun position(session: Long): Long
    @JvmStatic external fun reset(session: Long)
    @JvmStatic external fun save(session: Long): ByteArray
    @JvmStatic external fun restore(session: Long, state: ByteArray)
}
