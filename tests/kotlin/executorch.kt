// Signatures of org.pytorch:executorch-android 1.5, for compiling without the library.
package org.pytorch.executorch.extension.llm

interface LlmCallback {
    fun onResult(result: String)

    fun onStats(stats: String) {}

    fun onError(errorCode: Int, message: String) {}
}

class LlmModule(modulePath: String, tokenizerPath: String, temperature: Float) : java.io.Closeable {
    fun load() {}

    fun generate(
        prompt: String,
        seqLen: Int,
        llmCallback: LlmCallback,
        echo: Boolean,
        temperature: Float,
        numBos: Int,
        numEos: Int,
    ) {}

    fun resetContext() {}

    fun stop() {}

    override fun close() {}
}
