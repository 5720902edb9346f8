"""What is done on this machine: files, records of what was made, and programs that are run or printed."""
