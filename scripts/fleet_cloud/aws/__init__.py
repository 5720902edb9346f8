"""Calls to AWS as values, made and paced; what is behind a failure, permissions, and what things are called there."""
