"""The CUDA sources, shipped as `mmc_gpu.kernels`."""
