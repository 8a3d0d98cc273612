"""What an app's ExecuTorch must be built with, in the format of its selective build."""
