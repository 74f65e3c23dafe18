"""The CPU engine, and its parts: one idea a file, a numba kernel or how kernels are run."""
