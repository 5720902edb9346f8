"""fleet-cloud: sets up AWS IoT Core for a fleet, from a workstation with AWS credentials.

Every call to AWS is an ``aws`` command that ``--dry-run`` prints and ``--verbose`` shows. Reading order; imports only
go down this list:

- ``cli`` parses, runs one module of ``commands`` and turns errors into words and an exit status;
- ``commands`` has a module per command: its arguments, its flow, its outcome;
- ``bulk`` registers many things at once, ``practice`` tries things out;
- ``fleet`` is what there is: claims, devices, their certificates, and what a device needs to connect;
- ``plan`` is what ``up`` keeps in the cloud, as data: how to read it, make it, compare it and delete it;
- ``options`` are the flags of every command and what they make: the :class:`~fleet_cloud.options.Context`;
- ``aws`` makes calls and explains failures, ``local`` writes files and runs programs, ``console`` prints.

Standard library only; ``fleet.connection`` alone needs awscrt.
"""
