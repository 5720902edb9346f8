"""Bulk registration of many things: its folder, its task in AWS IoT, what it needs in the cloud, and its reset."""
