"""Where readings come from: the device itself, programs that are run, growing files, programs that send to a socket."""
