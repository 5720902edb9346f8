"""The identity as a whole, for verbs and the daemon: get it, replace it, give it up, put it into an image."""
