"""Private parts of other libraries, each in one place.

Whatever this program uses of torch, ExecuTorch, torchao, Hydra, OmegaConf, transformers and
torchtune that they do not document, it uses through a file of this folder, under a public name:
private imports and attributes, classes that are patched, loops that are written again, and offsets
in file formats. Each file gives its reason; ``versions`` says which versions it was written for
and tested with, and a test of each file checks that the library still has the shape that is relied
on. This folder imports nothing of the program but its errors.
"""
