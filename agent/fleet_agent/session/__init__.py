"""MQTT 5 sessions under one credential, conversations over them, and the cause when one fails."""
