"""Proves fleet-agent and fleet-cloud on an account, and measures there what is not documented.

Started by ``scripts/acceptance``. Reads top to bottom: ``cli`` asks, ``run`` goes through the ``sections``; those that
measure (``measure``) answer what ``facts`` ask; ``report`` says how the answers compare; ``account`` makes, lists and
takes away.
"""
