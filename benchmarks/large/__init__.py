"""Runs of their own: large data, clusters, GPUs."""
