"""The GPU engine: CuPy, and the kernels of kernels/*.cu."""
