"""Files: read and checked on the way in, written whole or not at all on the way out."""
