"""Calls to AWS as values: made, paced, and explained when they fail; permissions; names of resources."""
