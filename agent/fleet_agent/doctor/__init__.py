"""What is wrong with this device, and what to type: ``fleet-agent doctor``.

One small module a subject, one function a check; each gives ``Finding`` values and changes nothing. ``examine`` calls
them in order, ``mend`` does what ``--fix`` may do, ``bundle`` collects what support needs. Stands above ``app``, since
it looks at the composed whole; nothing but the command line uses it.
"""
