"""Configuration: ``settings`` declares what can be set, ``load`` reads it, every error at once."""
