"""Trial devices: to check what a claim and a device may do, and to publish with."""
