// Tells a story on the command line: Story MODEL [PROMPT]. Ctrl-C ends the program.
import kotlinx.coroutines.runBlocking
import pith.Model
import pith.PithException
import pith.Session
import pith.SessionOptions

fun main(arguments: Array<String>) = runBlocking {
    val prompt = arguments.getOrElse(1) { "Once upon a time" }
    try {
        Model.open(arguments[0]).use { model ->
            Session(model, SessionOptions(seed = 1)).use { session ->
                print(prompt)
                session.generate(prompt, maxTokens = 100).collect { print(it) }
                println()
            }
        }
    } catch (failure: PithException) {
        System.err.println("story: ${failure.message} (${failure.statusName})")
    }
}
