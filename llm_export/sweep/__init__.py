"""Many variants of one recipe: a resumable job with one table."""
