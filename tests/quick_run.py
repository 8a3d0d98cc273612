"""Words of runs that several files share."""

QUICK = ["model=tiny", "runtime=static", "benchmark=off", "verify.positions=50"]
"""A whole run that takes few seconds, and none up to lower with the fixture ``warm``."""

INT8_CACHE = ("backend=xnnpack", "quant=8da8w", "quant.kv_cache=int8",
              "model.config.num_hidden_layers=1")  # fmt: skip
"""A bundle of ``export`` with a quantized cache."""
