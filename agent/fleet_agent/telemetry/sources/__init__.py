"""Where readings come from, a module a source."""
