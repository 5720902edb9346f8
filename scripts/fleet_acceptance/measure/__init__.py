"""Experiments: each asks AWS one thing, and keeps the answer as it came."""
