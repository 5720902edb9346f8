"""The composition root: builds the real things from settings and joins them. ``cli`` only parses and prints."""
