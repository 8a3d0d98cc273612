"""Automatic mixed precision: what may be chosen, what to choose, and rules that say so."""
