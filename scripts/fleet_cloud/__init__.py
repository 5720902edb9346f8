"""fleet-cloud: sets up AWS IoT Core for a fleet, from a workstation with AWS credentials.

Every call to AWS is a value that ``--dry-run`` prints and ``--verbose`` shows as an ``aws`` command. Reading order;
imports only go down this list:

- ``cli`` parses, runs one module of ``commands`` and turns errors into words and an exit status;
- ``commands`` has a module per command: its arguments, its flow, its outcome;
- ``bulk`` registers many things at once, ``practice`` makes trial devices, ``rehearsal`` simulates a fleet's first day;
- ``fleet`` reads what exists: claims, devices, their certificates, and what a device needs to connect;
- ``plan`` describes what ``up`` creates, as data: how to read, create, compare and delete it;
- ``confirm`` asks before something is destroyed;
- ``options`` has the flags common to all commands, and the :class:`~fleet_cloud.options.Context` built from them;
- ``aws`` makes calls and explains failures;
- ``local`` writes files, makes keys and runs programs;
- ``console`` prints, ``outcome`` is what a command returns.

Whatever is not in the standard library is imported where it is used: botocore, without which the ``aws`` program makes
the calls; cryptography for keys; awscrt to connect as a device, or to listen; the agent's own code for a rehearsal.
"""
