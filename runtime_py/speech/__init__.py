"""Transcribe speech with a bundle of the task transcribe."""
