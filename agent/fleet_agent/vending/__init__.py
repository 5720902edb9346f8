"""AWS credentials for programs of this device, bought with its certificate: kept in memory, refreshed, handed out."""
