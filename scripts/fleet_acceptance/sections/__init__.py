"""What has to work: one file a flow, each as somebody would go through it."""
