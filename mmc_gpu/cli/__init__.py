"""The command line: arguments -> files -> scoring -> files."""
