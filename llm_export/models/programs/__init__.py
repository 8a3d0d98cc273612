"""Models whose programs have other methods than a decoder's: encoders, encoder–decoders."""
