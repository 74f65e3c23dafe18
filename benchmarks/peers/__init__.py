"""Other ways to the same scores, that ours are timed beside."""
