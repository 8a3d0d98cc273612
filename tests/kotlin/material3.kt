// Signatures of material3 1.4.
package androidx.compose.material3

import android.content.Context
import androidx.compose.foundation.layout.RowScope
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.graphics.Shape
import androidx.compose.ui.text.TextStyle

class ColorScheme(
    val primaryContainer: Color,
    val surface: Color,
    val surfaceVariant: Color,
    val error: Color,
)

class Typography(val titleLarge: TextStyle, val bodySmall: TextStyle)

class Shapes(val large: Shape)

object MaterialTheme {
    val colorScheme: ColorScheme
        @Composable get() = TODO()
    val typography: Typography
        @Composable get() = TODO()
    val shapes: Shapes
        @Composable get() = TODO()
}

@Composable
fun MaterialTheme(
    colorScheme: ColorScheme = MaterialTheme.colorScheme,
    shapes: Shapes = MaterialTheme.shapes,
    typography: Typography = MaterialTheme.typography,
    content: @Composable () -> Unit,
) {}

fun lightColorScheme(): ColorScheme = TODO()

fun darkColorScheme(): ColorScheme = TODO()

fun dynamicLightColorScheme(context: Context): ColorScheme = TODO()

fun dynamicDarkColorScheme(context: Context): ColorScheme = TODO()

@Composable
fun Surface(
    modifier: Modifier = Modifier,
    shape: Shape = TODO(),
    color: Color = MaterialTheme.colorScheme.surface,
    content: @Composable () -> Unit,
) {}

@Composable
fun Text(
    text: String,
    modifier: Modifier = Modifier,
    color: Color = TODO(),
    style: TextStyle = TODO(),
) {}

@Composable
fun Button(
    onClick: () -> Unit,
    modifier: Modifier = Modifier,
    enabled: Boolean = true,
    content: @Composable RowScope.() -> Unit,
) {}

@Composable
fun TextButton(
    onClick: () -> Unit,
    modifier: Modifier = Modifier,
    enabled: Boolean = true,
    content: @Composable RowScope.() -> Unit,
) {}

@Composable
fun LinearProgressIndicator(progress: () -> Float, modifier: Modifier = Modifier) {}

@Composable
fun OutlinedTextField(
    value: String,
    onValueChange: (String) -> Unit,
    modifier: Modifier = Modifier,
    enabled: Boolean = true,
    placeholder: @Composable (() -> Unit)? = null,
    maxLines: Int = Int.MAX_VALUE,
) {}
