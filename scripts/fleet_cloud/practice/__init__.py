"""Trying things out: what a claim and a device may do, and numbered things to publish with."""
