// Runs the plain files of a generated app: a command a line, texts in Base64, an answer a line.
package driver

import PACKAGE.logic.Answer
import PACKAGE.logic.AnswerFilter
import PACKAGE.logic.Around
import PACKAGE.logic.ContextFull
import PACKAGE.logic.Conversation
import PACKAGE.logic.Counts
import PACKAGE.logic.Download
import PACKAGE.logic.Errors
import PACKAGE.logic.Feed
import PACKAGE.logic.Message
import PACKAGE.logic.ModelFile
import PACKAGE.logic.ModelFiles
import PACKAGE.logic.PromptTest
import PACKAGE.logic.Role
import PACKAGE.logic.Stats
import PACKAGE.logic.Turns
import java.io.File
import java.io.IOException
import java.util.Base64

private fun String.text() = String(Base64.getDecoder().decode(this))

private fun String.base64(): String = Base64.getEncoder().encodeToString(toByteArray())

private fun String.parts(by: Char): List<String> = if (isEmpty()) emptyList() else split(by)

private fun role(name: String) = Role.valueOf(name.uppercase())

/** start, generation prompt, trims, drops reasoning, role:prefix:suffix,... */
private fun turns(fields: List<String>) = Turns(
    fields[0].text(),
    fields[4].parts(',').associate { role ->
        val (name, prefix, suffix) = role.split(':')
        role(name) to Around(prefix.text(), suffix.text())
    },
    fields[1].text(),
    fields[2].toBoolean(),
    fields[3].toBoolean(),
)

private fun render(fields: List<String>) =
    turns(fields).render(fields[5].parts(',').map { it.split(':').let { (r, t) -> Message(role(r), t.text()) } }).base64()

/** turn tokens, stop strings, longest, pieces */
private fun answer(fields: List<String>): String {
    val filter = AnswerFilter(fields[0].parts(',').map { it.text() }.toSet(), fields[1].parts(',').map { it.text() })
    val answer = Answer(filter, fields[2].toInt())
    val shown = StringBuilder()
    for (piece in fields[3].parts(',')) {
        answer.push(piece.text())
        check(answer.text.startsWith(shown)) { "what was shown is taken back" }
        shown.clear().append(answer.text)
    }
    answer.finish()
    val token = answer.turnToken?.base64() ?: "-"
    return listOf(answer.text.base64(), answer.raw.base64(), token, answer.end ?: "-", answer.tokens).joinToString(" ")
}

/** turns, context, longest answer, then ask:text, answer:text:raw:token or fail:, as a runner whose tokens have four bytes */
private fun chat(fields: List<String>): String {
    val conversation = Conversation(turns(fields), null, fields[5].toInt(), fields[6].toInt(), 0.5)
    val out = mutableListOf<String>()
    var feed: Feed? = null
    for (step in fields[7].parts(',')) {
        val words = step.split(':')
        when (words[0]) {
            "ask" -> {
                feed = try {
                    conversation.ask(words[1].text())
                } catch (full: ContextFull) {
                    null
                }
                out += feed?.let { "${it.prompt.base64()}:${it.reset}:${it.maxTokens}:${conversation.forgotten}" } ?: "full"
            }
            "answer" -> if (feed != null) {
                val raw = words[2].text()
                val counts = Counts(tokens(feed.prompt), tokens(raw))
                conversation.answered(words[1].text(), raw, words[3].takeIf { it != "-" }?.text(), counts)
                out += conversation.position.toString()
            }
            "fail" -> if (feed != null) conversation.takeBack()
            "clear" -> conversation.clear()
        }
    }
    return out.joinToString(",")
}

private fun tokens(text: String) = (text.toByteArray().size + 3) / 4

/** folder, address, name:bytes:sha256,... */
private fun bring(fields: List<String>): String {
    val files = ModelFiles(File(fields[0].text()), fields[2].parts(',').map {
        val (name, bytes, sha) = it.split(':')
        ModelFile(name, bytes.toLong(), sha)
    })
    var last = -1L
    return try {
        files.bring(Download(fields[1].text())) {
            check(it >= last) { "progress goes back" }
            last = it
        }
        check(last == files.total && files.missing.isEmpty()) { "not all is there" }
        "good ${files.folder.path.base64()}"
    } catch (error: IOException) {
        "bad ${(error.message ?: "").base64()}"
    }
}

private fun stats(fields: List<String>) = Stats.of(fields[0].text()).toString().base64()

private fun error(fields: List<String>) = Errors.explain(fields[0].toInt(), "1.5").base64()

fun main() {
    PromptTest().promptIsTheTemplates()
    for (line in generateSequence(::readLine)) {
        val fields = line.split('\t')
        val arguments = fields.drop(1)
        println(
            when (fields[0]) {
                "render" -> render(arguments)
                "answer" -> answer(arguments)
                "chat" -> chat(arguments)
                "bring" -> bring(arguments)
                "stats" -> stats(arguments)
                "error" -> error(arguments)
                else -> error("no command ${fields[0]}")
            },
        )
    }
}
