"""Orders: each goes to one handler, and its outcome back to its sender."""
