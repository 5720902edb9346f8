"""What is wrong now, and where it is shown."""
