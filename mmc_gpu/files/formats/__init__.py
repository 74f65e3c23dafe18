"""One file of any format, bounded and checked."""
