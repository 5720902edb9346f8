"""What comes down and asks for something: each order goes to one handler, and its outcome back to who asked."""
