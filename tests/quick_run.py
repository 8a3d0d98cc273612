"""Words of a whole run that takes few seconds, and none up to lower with the fixture ``warm``."""

QUICK = ["model=tiny", "runtime=static", "benchmark=off", "verify.positions=50"]
