"""MQTT 5 sessions and HTTPS requests under one credential, and the diagnosis when one of them fails."""
