"""Telemetry: readings from their sources through the durable queue to AWS IoT Core."""
