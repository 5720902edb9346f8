"""The commands, a module each: its words, its flags, what it does, its outcome.

A module has ``NAME`` (its words), ``SUMMARY`` (a line), ``DESCRIPTION`` (for its ``--help``), ``add_arguments`` and
``run``; :class:`fleet_cloud.cli.CommandModule` is its type. A new command is a new module and an entry in
:data:`fleet_cloud.cli.COMMANDS`.
"""
