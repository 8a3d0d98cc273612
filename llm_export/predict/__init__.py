"""What an export will cost, from shapes alone: bytes, memory, time. No torch is imported."""
