"""The account: whose calls are made, what is in it, and what a run takes away again."""
