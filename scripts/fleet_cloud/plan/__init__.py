"""What a fleet has in the cloud, as data: documents and resources, how they are made, compared and deleted."""
