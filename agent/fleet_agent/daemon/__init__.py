"""What the service runs: from the start of the process to its ending, one loop in between."""
