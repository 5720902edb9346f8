"""MQTT 5 sessions and HTTPS requests under one credential, conversations, and the cause when one of them fails."""
