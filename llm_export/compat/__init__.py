"""Access to private parts of other libraries, each in one file.

All undocumented parts of torch, ExecuTorch, torchao, Hydra, OmegaConf, transformers and torchtune
that this program uses are used through a file of this folder, under a public name: private imports
and attributes, patched classes, reimplemented loops, and offsets in file formats. Each file states
its reason. ``versions`` states the tested versions, and each file has a test that checks that the
library still has the expected structure. This folder imports nothing of the program except errors.
"""
