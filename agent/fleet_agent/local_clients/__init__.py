"""Local programs that connect to the agent: the listening socket, their users, admission, and orderly refusal."""
