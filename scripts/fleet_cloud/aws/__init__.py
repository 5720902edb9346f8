"""Calls to AWS as values, what is probably behind one that failed, and what things are called there."""
