"""The program of a bundle computed by ExecuTorch's kernels for Arm, under emulation of a processor
(docs/arm.md).
"""
