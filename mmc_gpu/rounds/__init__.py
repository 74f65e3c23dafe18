"""A round and its scores: draws, stakes, targets, algebra."""
