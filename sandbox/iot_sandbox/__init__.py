"""A local AWS IoT Core for tests, demos and benches: ministack plus what it lacks.

Read it in this order: ``__main__`` parses the command line; ``server`` runs ministack in this process; ``seams``
names every inner part of ministack that is wrapped; ``session`` and ``provisioning`` stand behind the MQTT listener;
``faults`` and ``calls`` are what a test sets and reads, over HTTP through ``control``.

To use it, start it with ``launch`` (standard library alone) and talk to it with ``client``.
"""
