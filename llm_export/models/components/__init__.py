"""Building blocks of a decoder, one concern per file, selected by config."""
