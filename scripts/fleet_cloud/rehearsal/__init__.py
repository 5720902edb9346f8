"""Rehearses a fleet's first day: virtual devices that run the agent's own code, and a report as a page."""
