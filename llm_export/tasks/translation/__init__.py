"""The task translate: how its programs are proven, measured and tried."""
