"""The GPU engine on machines with a GPU, and its host's time on machines without one."""
