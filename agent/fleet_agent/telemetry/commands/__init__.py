"""What comes down: ``router`` gives each message to one handler, which runs a program, writes a file or asks a socket.

``router.Commands`` is all that the loop sees. docs/reference/commands.md has it for users, and
docs/decisions/0008-commands.md why a message is acknowledged when it is.
"""
