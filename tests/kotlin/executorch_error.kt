package org.pytorch.executorch

open class ExecutorchRuntimeException(val errorCode: Int, details: String?) : RuntimeException(details)
