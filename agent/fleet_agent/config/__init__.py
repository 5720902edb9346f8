"""Configuration: ``settings`` says what can be said, ``load`` reads it, every error at once."""
