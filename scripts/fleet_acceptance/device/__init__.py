"""What acts as a device: a plain MQTT client that hides nothing, keys and requests, and fleet-agent itself."""
