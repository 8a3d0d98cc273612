// Signatures of androidx.activity 1.11.
package androidx.activity

import android.os.Bundle
import androidx.lifecycle.ViewModel

open class ComponentActivity {
    protected open fun onCreate(savedInstanceState: Bundle?) {}
}

fun ComponentActivity.enableEdgeToEdge() {}

inline fun <reified VM : ViewModel> ComponentActivity.viewModels(): Lazy<VM> = TODO()
