"""A command-line chat in C++: a CMake project on the libraries of ExecuTorch's wheel, or on its
source tree.
"""
