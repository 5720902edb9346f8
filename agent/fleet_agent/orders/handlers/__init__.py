"""What a handler does with an order: run a program, write a file, ask a program or the helper, upload a bundle."""
