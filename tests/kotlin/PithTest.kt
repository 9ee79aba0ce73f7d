// The Kotlin library on the built-in model, and on the tiny one for chats: PithTestKt STORY_MODEL TINY_MODEL.
import android.content.res.AssetFileDescriptor
import android.os.ParcelFileDescriptor
import java.io.File
import java.io.FileDescriptor
import java.io.FileInputStream
import kotlin.concurrent.thread
import kotlin.system.exitProcess
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import pith.Model
import pith.PithException
import pith.Session
import pith.SessionOptions
import pith.open

var passed = 0
var failed = 0

fun test(name: String, body: suspend () -> Unit) {
    try {
        runBlocking { body() }
        passed++
        println("ok: $name")
    } catch (error: Throwable) {
        failed++
        println("FAILED: $name: $error")
        error.printStackTrace(System.out)
    }
}

fun check(condition: Boolean, what: () -> String) {
    if (!condition) throw AssertionError(what())
}

fun same(expected: Any?, actual: Any?) = check(expected == actual) { "$actual is not $expected" }

suspend fun refused(status: Int, word: String, call: suspend () -> Unit) {
    try {
        call()
    } catch (failure: PithException) {
        same(status, failure.status)
        check(word in failure.message!!) { "\"$word\" is not in \"${failure.message}\"" }
        check(failure.statusName.isNotEmpty()) { "no name of ${failure.status}" }
        return
    }
    throw AssertionError("not refused: expected status $status")
}

suspend fun text(flow: Flow<String>): String = flow.toList().joinToString("")

fun descriptorOf(stream: FileInputStream): Int =
    FileDescriptor::class.java.getDeclaredField("fd").apply { isAccessible = true }.getInt(stream.fd)

fun main(arguments: Array<String>) {
    val (storyPath, tinyPath) = arguments
    val greedy = SessionOptions(temperature = SessionOptions.GREEDY, threads = 2)
    val model = Model.open(storyPath)
    val story = runBlocking { Session(model, greedy).use { text(it.generate("The fox and the lantern", 60)) } }

    test("a story comes piece by piece, and is the same again") {
        check(story.length > 100 && ' ' in story) { "no story: $story" }
        val pieces = Session(model, greedy).use { it.generate("The fox and the lantern", 60).toList() }
        check(pieces.size > 30) { "${pieces.size} pieces" }
        same(story, pieces.joinToString(""))
        val other = Session(model, SessionOptions(seed = 7)).use { text(it.generate("The fox and the lantern", 60)) }
        check(other != story) { "drawing gives the likeliest text" }
    }

    test("texts are UTF-8, and stops end them") {
        Session(model, greedy).use { session ->
            text(session.generate("Füchse, 狐狸 and \uD83E\uDD8A", 5))
            check(session.position > 5) { "position ${session.position}" }
        }
        val word = story.trim().split(' ')[3]
        val stopped = Session(model, greedy).use { text(it.generate("The fox and the lantern", 60, listOf(word))) }
        same(story.substringBefore(word), stopped)
    }

    test("a part of a file, by its descriptor, and as an asset of Android") {
        val archive = File.createTempFile("pith", ".archive")
        archive.deleteOnExit()
        val bytes = File(storyPath).readBytes()
        val length = bytes.size.toLong()
        for (offset in listOf(4096L + 64, 4096L + 68)) { // one to be mapped, one to be read
            archive.outputStream().use { it.write(ByteArray(offset.toInt())); it.write(bytes); it.write(ByteArray(100)) }
            val models = FileInputStream(archive).use { stream ->
                val descriptor = descriptorOf(stream)
                refused(10, "file of descriptor") { Model.open(descriptor, offset, length + 101) }
                refused(21, "GGUF") { Model.open(descriptor, offset - 4, length) }
                listOf(
                    Model.open(descriptor, offset, length),
                    Model.open(AssetFileDescriptor(ParcelFileDescriptor(descriptor), offset, length)),
                )
            }
            for (part in models) part.use { same(story, Session(it, greedy).use { text(it.generate("The fox and the lantern", 60)) }) }
        }
        FileInputStream(archive).use { stream ->
            val descriptor = descriptorOf(stream)
            refused(10, "offset") { Model.open(descriptor, -64, bytes.size.toLong()) }
            refused(10, "length") { Model.open(descriptor, 0, -1) }
        }
    }

    test("a chat: the conversation stays in the session, the system's message and all") {
        Model.open(tinyPath).use { tiny ->
            val options = greedy.copy(template = "chatml", system = "You are a fox.")
            val (alone, tokensAlone) = Session(tiny, options).use { text(it.answer("Where is the fox?", 20)) to it.position }
            check(alone.isNotEmpty()) { "no answer" }
            Session(tiny, options).use { session ->
                text(session.answer("Who are you?", 20))
                val first = session.position
                text(session.answer("Where is the fox?", 20))
                val tokens = session.position - first
                check(tokens > 20 && tokens < tokensAlone) { "$tokens tokens of a second turn, $tokensAlone of a first" }
                session.reset()
                same(alone, text(session.answer("Where is the fox?", 20)))
            }
        }
        refused(41, "template") { Session(model, greedy).use { text(it.answer("Who are you?")) } }
    }

    test("a collector that takes no more stops the evaluation") {
        Session(model, greedy).use { session ->
            repeat(200) { same(1, session.generate("x", 100).take(1).toList().size) } // the instant differs
            session.reset()
            same(3, session.generate("Once", 100_000).take(3).toList().size)
            val position = session.position
            check(position in 3..20) { "position $position after three pieces" }
            delay(100)
            same(position, session.position)
            same(1, session.generate(" and", 10).take(1).toList().size) // it goes on
        }
    }

    test("cancelling a flow stops a prompt that is being read, and takes it back") {
        val prompt = "The fox and the lantern. ".repeat(100_000)
        Session(model, greedy).use { session ->
            val job = kotlinx.coroutines.coroutineScope {
                launch { session.generate(prompt, 1).toList() }.also {
                    delay(300)
                    check(it.isActive) { "the prompt is too short to be cancelled" }
                    it.cancelAndJoin()
                }
            }
            check(job.isCancelled) { "not cancelled" }
            same(0L, session.position)
            same(story, text(session.generate("The fox and the lantern", 60)))
        }
        Session(model, greedy).use { session -> // by cancel, from a thread: who collects is told
            thread { Thread.sleep(300); session.cancel() }
            refused(PithException.CANCELLED, "cancelled") { session.generate(prompt, 1).toList() }
        }
    }

    test("a model closes twice; its sessions go on, new ones are refused") {
        val own = Model.open(storyPath)
        val session = Session(own, greedy)
        own.close()
        own.close()
        same(story, text(session.generate("The fox and the lantern", 60)))
        refused(PithException.STATE, "model: it is closed") { Session(own, greedy) }
        session.close()
    }

    test("a session closes twice; used afterwards, it is refused") {
        val session = Session(model, greedy)
        session.close()
        session.close()
        session.cancel()
        refused(PithException.STATE, "session: it is closed") { session.generate("x").first() }
        refused(PithException.STATE, "session: it is closed") { session.save() }
        refused(PithException.STATE, "session: it is closed") { session.restore(ByteArray(8)) }
        refused(PithException.STATE, "session: it is closed") { session.position }
        refused(PithException.STATE, "session: it is closed") { session.reset() }
    }

    test("failures have a status and a sentence") {
        refused(10, "/nowhere.gguf") { Model.open("/nowhere.gguf") }
        val noModel = File.createTempFile("pith", ".txt").apply { writeText("x".repeat(100)); deleteOnExit() }
        refused(21, "GGUF") { Model.open(noModel.path) }
        refused(10, "temperature") { Session(model, SessionOptions(temperature = -5f)) }
        refused(10, "max_threads") { Session(model, SessionOptions(threads = 65)) }
        refused(10, "chatmx") { Session(model, SessionOptions(template = "chatmx")) }
        refused(10, "maxTokens") { Session(model).use { it.generate("x", -1).first() } }
    }

    test("a saved session goes on elsewhere with the same text; damage is refused and changes nothing") {
        val options = SessionOptions(seed = 5, threads = 1)
        Session(model, options).use { first ->
            text(first.generate("Once upon a time", 30))
            val state = first.save()
            val rest = text(first.generate(" Then", 30))
            Session(model, options.copy(threads = 2)).use { second ->
                second.restore(state)
                same(rest, text(second.generate(" Then", 30)))
                second.restore(state)
                for (at in listOf(0, 9, state.size / 2, state.size - 1)) {
                    val damaged = state.copyOf().also { it[at] = (it[at].toInt() xor 1).toByte() }
                    try {
                        second.restore(damaged)
                        throw AssertionError("byte $at: damage was taken")
                    } catch (failure: PithException) {
                        check(failure.status in 50..55) { "byte $at: status ${failure.status}" }
                    }
                }
                refused(50, "state") { second.restore(state.copyOf(7)) }
                same(rest, text(second.generate(" Then", 30)))
            }
        }
    }

    test("sessions on many threads share a model") {
        val texts = runBlocking {
            (1..8).map { async(Dispatchers.Default) { Session(model, greedy).use { text(it.generate("The fox and the lantern", 60)) } } }.awaitAll()
        }
        for (one in texts) same(story, one)
    }

    test("a session makes one text at a time, and closes while it does") {
        val session = Session(model, greedy)
        var failure: PithException? = null
        val worker = thread {
            try {
                runBlocking { session.generate("Once", 1_000_000).onEach { Thread.sleep(1) }.toList() }
            } catch (caught: PithException) {
                failure = caught
            }
        }
        while (session.position < 3) Thread.sleep(1)
        refused(PithException.BUSY, "another text") { session.generate("x").first() }
        check(worker.isAlive) { "the first text ended: $failure" }
        session.close()
        worker.join(10_000)
        check(failure?.status in listOf(PithException.STATE, PithException.CANCELLED)) { "ended with $failure" }
    }

    model.close()
    println("$passed passed, $failed failed")
    exitProcess(if (failed == 0) 0 else 1)
}
