"""The daemon that the service runs: the start of the process, one loop, and its ending."""
