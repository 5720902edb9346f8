"""From claim to identity: ``machine`` decides, ``runner`` does, ``aws`` speaks AWS IoT's provisioning API."""
