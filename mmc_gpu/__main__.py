"""`python -m mmc_gpu`."""

from mmc_gpu.cli.app import main

if __name__ == "__main__":
    main()
