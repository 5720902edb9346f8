"""What comes down: each order goes to one handler, and its outcome back to its sender."""
