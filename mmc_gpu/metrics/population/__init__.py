"""What the metrics of a whole population share."""
