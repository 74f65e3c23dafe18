"""Models over eras: columns and rows, metrics, what they amount to."""
