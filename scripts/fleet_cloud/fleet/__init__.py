"""What a fleet consists of: claims and devices in the cloud, what a device needs to connect, and their deletion."""
