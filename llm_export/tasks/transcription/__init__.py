"""The task transcribe: how its programs are proven, measured and tried."""
