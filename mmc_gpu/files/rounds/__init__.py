"""A round in a folder, as people have it or packed."""
