"""People's tables become arrays: names, columns, frames, checks."""
