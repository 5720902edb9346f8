"""This process, as the system sees it: signals and mailbox, log, streams, sockets, systemd, and what may run out."""
