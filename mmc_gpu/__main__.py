"""`python -m mmc_gpu`."""

from mmc_gpu.cli import main

if __name__ == "__main__":
    main()
