"""fleet-cloud: sets up AWS IoT Core for a fleet, from a workstation with AWS credentials.

Every call to AWS is an ``aws`` command that ``--dry-run`` prints and ``--verbose`` shows. Reading order, which is
the import order from the bottom up:

- ``cli`` parses, runs one module of ``commands`` and turns errors into words and an exit status;
- ``commands`` has a module per command: its arguments, its flow, its outcome;
- ``resources`` is what ``up`` keeps in the cloud, as data: how to read it, make it and mend it;
- ``documents``, ``names``, ``spread``, ``configuration``, ``causes`` decide in values and touch nothing;
- ``aws``, ``openssl`` and ``files`` act, the first two through ``shell``.

Standard library only.
"""
