"""What is wrong now: the table of problems, and the status that shows those that hold now."""
