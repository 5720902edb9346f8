"""Topics and topic filters: filled in by template, matched, and whether AWS IoT and the SDK take them. Pure."""
