"""What a handler does with an order: run a program, write a file, ask a local program over its socket."""
