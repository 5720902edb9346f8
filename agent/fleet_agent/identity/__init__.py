"""What verbs and the daemon do with the identity as a whole: get it, replace it, give it up, put it into an image."""
