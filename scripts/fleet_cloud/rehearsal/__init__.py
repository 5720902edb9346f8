"""A fleet's first day before it comes: virtual devices with the agent's own code, and what came of it as a page."""
