"""What released versions of ExecuTorch run, one file for each."""
