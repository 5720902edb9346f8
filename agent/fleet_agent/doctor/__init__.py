"""The doctor: what is wrong with this device, and the command to run.

One small module a subject, one function a check; each gives ``Finding`` values and changes nothing. ``examine`` calls
them in order, ``fix`` does what ``--fix`` may do, ``bundle`` collects what support needs. Nothing but the command
line uses it.
"""
