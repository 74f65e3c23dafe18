"""Results: written, read back, verified, shown."""
