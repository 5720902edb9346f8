"""AWS credentials for local programs, in exchange for the device's certificate: cached, refreshed, handed out."""
