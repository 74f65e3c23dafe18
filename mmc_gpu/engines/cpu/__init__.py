"""What the CPU engine is made of: one idea a file, each a numba kernel or how kernels are run."""
