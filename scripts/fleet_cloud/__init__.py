"""fleet-cloud: sets up AWS IoT Core for a fleet, from a workstation with AWS credentials.

Every call to AWS is a value that ``--dry-run`` prints and ``--verbose`` shows as an ``aws`` command. Reading order;
imports only go down this list:

- ``cli`` parses, runs one module of ``commands`` and turns errors into words and an exit status;
- ``commands`` has a module per command: its arguments, its flow, its outcome;
- ``bulk`` registers many things at once, ``practice`` tries things out, ``rehearsal`` plays a fleet's first day;
- ``fleet`` is what there is: claims, devices, their certificates, and what a device needs to connect;
- ``plan`` is what ``up`` keeps in the cloud, as data: how to read it, make it, compare it and delete it;
- ``confirm`` asks before something is destroyed;
- ``options`` are the flags of every command and what they make: the :class:`~fleet_cloud.options.Context`;
- ``aws`` makes calls and explains failures;
- ``local`` writes files, makes keys and runs programs;
- ``console`` prints, ``outcome`` is what a command answers.

What is no part of the standard library is imported where it is used: botocore, without which the ``aws`` program makes
the calls; cryptography for keys; awscrt to connect as a device, or to listen; the agent's own code for a rehearsal.
"""
