"""Chooses the dtype of the KV cache by measurement, for ``quant.kv_cache=auto``."""
