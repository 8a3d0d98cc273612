"""Automatic mixed precision: measure what each candidate loses, then choose."""
