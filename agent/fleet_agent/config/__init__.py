"""Configuration: ``settings`` says what can be said, ``load`` reads it from YAML with every error at once."""
