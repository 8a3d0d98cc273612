"""Decode with an encoder–decoder program: its methods, the loop over tokens, and beam search."""
