"""What verbs and the daemon do with the device's identity as a whole: get it, replace it, give it up, bake it in."""
