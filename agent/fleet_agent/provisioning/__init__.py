"""From claim to identity: ``machine`` decides, ``runner`` does, ``identity`` speaks AWS IoT's provisioning API."""
