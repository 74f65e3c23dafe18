"""From the results of runs to the tables and plots that are read."""
