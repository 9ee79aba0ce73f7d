package pith

import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.channelFlow
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/**
 * How a session remembers and draws. Zero means the default of pith.h everywhere.
 *
 * @property context tokens that the session remembers; 0: what the model was trained with
 * @property threads 1 .. 64; 0: one for each fast CPU
 * @property temperature above 0, or [GREEDY] for the likeliest token; 0: 0.8
 * @property seed the same seed and calls give the same text on every machine
 * @property system what a conversation begins with: it stays when the memory is full; null: the file's own, if it has one
 * @property template the chat format by name, such as "chatml"; null: that of the file
 */
data class SessionOptions(
    val context: Int = 0,
    val threads: Int = 0,
    val temperature: Float = 0f,
    val topK: Int = 0,
    val topP: Float = 0f,
    val minP: Float = 0f,
    val repeatPenalty: Float = 0f,
    val seed: Long = 0,
    val system: String? = null,
    val template: String? = null,
) {
    companion object {
        const val GREEDY = -1f
    }
}

/**
 * One text or conversation with a model, which it remembers from call to call.
 *
 * Any thread may call it. One text is made at a time: another one is refused with [PithException.BUSY]; other calls wait for the token
 * that is being computed. [close] ends what runs, waits for that, and may be called twice; any other call on a closed session
 * is refused with [PithException.STATE].
 */
class Session(model: Model, options: SessionOptions = SessionOptions()) : AutoCloseable {
    private val calls = ReentrantLock() // held while the library is inside the session
    private val life = Any() // held while the handle is used to cancel, or goes; after `calls`, where both are
    private val isWriting = AtomicBoolean(false)
    private var handle = model.with {
        Native.openSession(
            it, options.context, options.threads, options.temperature, options.topK, options.topP, options.minP,
            options.repeatPenalty, options.seed, options.system?.toByteArray(), options.template?.toByteArray(),
        )
    }

    /** Tokens so far. */
    val position: Long get() = call { Native.position(it) }

    /** The text after [prompt], as it is made: at most [maxTokens] tokens, up to the model's end or one of [stops]. */
    fun generate(prompt: String, maxTokens: Int = 256, stops: List<String> = emptyList()): Flow<String> =
        write(prompt, false, maxTokens, stops)

    /** The model's answer to the next [question] of the conversation. */
    fun answer(question: String, maxTokens: Int = 1024, stops: List<String> = emptyList()): Flow<String> =
        write(question, true, maxTokens, stops)

    /** Ends the text that is being made: its flow ends with [PithException.CANCELLED]. Without one, nothing happens. */
    fun cancel() {
        synchronized(life) { if (handle != 0L && isWriting.get()) Native.cancel(handle) }
    }

    /** Forgets everything. */
    fun reset() = call { Native.reset(it) }

    /** All that the session remembers, and the generator of its draws; for [restore], in another process too. */
    fun save(): ByteArray = call { Native.save(it) }

    /** Goes on where [state] was saved, by a session of the same model and options. Damage is refused, and changes nothing. */
    fun restore(state: ByteArray) = call { Native.restore(it, state) }

    override fun close() {
        cancel()
        calls.withLock {
            synchronized(life) {
                if (handle != 0L) Native.closeSession(handle)
                handle = 0L
            }
        }
    }

    private fun <T> call(use: (Long) -> T): T = calls.withLock {
        if (handle == 0L) throw PithException(PithException.STATE, "session: it is closed")
        use(handle)
    }

    // Evaluations run on a thread of Dispatchers.Default. A collector that is cancelled, or takes no more, ends the one that runs: the
    // watcher is the coroutine that is free to see it.
    private fun write(text: String, isQuestion: Boolean, maxTokens: Int, stops: List<String>): Flow<String> = channelFlow {
        if (maxTokens < 0) throw PithException(PithException.ARGUMENT, "maxTokens: $maxTokens is negative")
        if (!isWriting.compareAndSet(false, true)) throw PithException(PithException.BUSY, "session: another text is being made")
        try {
            call { Native.clearCancel(it) }
            coroutineScope {
                val isLeft = AtomicBoolean(false)
                val watcher = launch(Dispatchers.Default, CoroutineStart.UNDISPATCHED) {
                    try {
                        awaitCancellation()
                    } finally {
                        isLeft.set(true)
                        cancel()
                    }
                }
                withContext(Dispatchers.Default) {
                    try {
                        writeAll(text, isQuestion, maxTokens, stops) { send(it) }
                    } catch (failure: PithException) {
                        if (isLeft.get()) awaitCancellation() // which has reached the watcher first, and comes here
                        throw failure
                    }
                }
                watcher.cancel()
            }
        } finally {
            isWriting.set(false)
        }
    }.buffer(Channel.RENDEZVOUS)

    private suspend fun writeAll(
        text: String, isQuestion: Boolean, maxTokens: Int, stops: List<String>, emit: suspend (String) -> Unit,
    ) {
        val ends = stops.map { it.toByteArray() }.toTypedArray()
        call { Native.begin(it, text.toByteArray(), isQuestion, maxTokens, ends) }
        while (true) {
            currentCoroutineContext().ensureActive()
            val piece = call { Native.next(it) } ?: break
            if (piece.isNotEmpty()) emit(String(piece, Charsets.UTF_8))
        }
    }
}
