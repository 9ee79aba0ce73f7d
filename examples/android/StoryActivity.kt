// An activity that tells a story with the model that is the application's asset model.gguf, and stops when it is left.
// bindings/kotlin/README.md says what the application's build needs.
package story

import android.app.Activity
import android.os.Bundle
import android.widget.TextView
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import pith.Model
import pith.PithException
import pith.Session
import pith.open

class StoryActivity : Activity() {
    private val scope = MainScope()

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        val page = TextView(this)
        setContentView(page)
        scope.launch {
            try {
                val model = withContext(Dispatchers.IO) { assets.openFd("model.gguf").use { Model.open(it) } }
                model.use {
                    val session = withContext(Dispatchers.Default) { Session(model) }
                    session.use { session.generate("Once upon a time", maxTokens = 200).collect { page.append(it) } }
                }
            } catch (failure: PithException) {
                page.append(failure.message)
            }
        }
    }

    override fun onDestroy() {
        scope.cancel() // ends the evaluation, and with it the session and the model
        super.onDestroy()
    }
}
