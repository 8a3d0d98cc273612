"""Words of a whole run that takes few seconds, and none up to lower with the fixture ``warm``."""

QUICK = ["model=tiny", "model.config.num_hidden_layers=1", "runtime=static", "benchmark=off",
         "verify.positions=50"]  # fmt: skip
