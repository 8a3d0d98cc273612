"""Where commands write: which paths may be written to, replaced, and by whom at a time."""
