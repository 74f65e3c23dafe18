"""Benchmarks that take long, or need more than this machine; each is a command of its own."""
