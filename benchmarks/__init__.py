"""Benchmarks: `python -m benchmarks` runs all, `python -m benchmarks --quick` a part."""
