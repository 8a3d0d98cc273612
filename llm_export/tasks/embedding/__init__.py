"""How programs that embed texts are packaged, proven, measured and tried."""
