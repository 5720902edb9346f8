"""The ``aws`` command without its second of imports: a process that has them forks for every call.

What runs is the command's own driver, with the caller's words, environment, folder and streams, in a process of its
own; so it is the real command, only warm: it has read what comes with it, and nothing of the caller's. Run as a program
it is that process: ``python warm_aws.py SOCKET``.
"""

import contextlib
import gc
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

Run = Callable[[list[str]], int]

_LONGEST_REQUEST = 1_000_000
# What the companion calls, and so worth reading before.
_SERVICES = ("iot", "iam", "sts", "s3", "sns", "lambda")

_CLIENT = """\
#!{python} -IS
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({socket!r})
asked = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
socket.send_fds(connection, [len(asked).to_bytes(4, "big")], [0, 1, 2])
connection.sendall(asked)
answer = connection.recv(1)
sys.exit(answer[0] if answer else 255)
"""


@contextlib.contextmanager
def warm_aws(folder: Path) -> Iterator[Path]:
    """Gives a folder with a command ``aws`` in it that works for as long as the block lasts."""
    path = folder / "socket"
    with subprocess.Popen(
        [sys.executable, __file__, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout
        assert server.stdin
        assert server.stdout.readline(), "the warm aws did not start"
        program = folder / "bin" / "aws"
        program.parent.mkdir()
        program.write_text(_CLIENT.format(python=sys.executable, socket=str(path)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        try:
            yield program.parent
        finally:
            server.stdin.close()
            server.terminate()


def _serve(path: str) -> None:
    run = _driver()
    gc.freeze()  # what is never looked at again stays shared with the forks
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(connection, run)
        connection.close()


def _driver() -> Run:
    """Gives the command's driver, which has read the descriptions of the services, and no settings."""
    import awscli.clidriver  # type: ignore[import-untyped]

    driver = awscli.clidriver.create_clidriver()
    nobody = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}
    for service in _SERVICES:
        driver.session.create_client(service, **nobody)
    driver._get_command_table()

    def run(words: list[str]) -> int:
        driver.session._config = driver.session._profile_map = None  # of the caller's files, then
        status: int = driver.main(words)
        return status

    return run


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _answer(connection: socket.socket, run: Run) -> None:
    """Is the command for one caller; does not return."""
    status = 255
    try:
        size, streams, _, _ = socket.recv_fds(connection, 4, 3)
        left, asked = int.from_bytes(size, "big"), b""
        while left > len(asked):
            asked += connection.recv(min(left - len(asked), _LONGEST_REQUEST))
        words, environment, folder = json.loads(asked)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        ours = {"AWS_DATA_PATH": os.environ["AWS_DATA_PATH"]}  # set by awscli as it is imported
        os.environ.clear()
        os.environ.update(environment | ours)
        os.chdir(folder)
        sys.argv = ["aws", *words]
        status = run(words)
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing may come back out of the fork
        traceback.print_exc()
    finally:
        connection.sendall(bytes([int(status or 0) & 255]))
        os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
