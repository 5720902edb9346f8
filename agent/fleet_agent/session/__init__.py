"""One MQTT 5 connection under one credential, and what to make of it when it fails."""
