"""Which quant option, KV cache and context fit the memory of a device. No torch is imported."""
