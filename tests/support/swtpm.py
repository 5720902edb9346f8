"""A TPM 2.0 in software behind its resource manager, as a PKCS#11 token: swtpm, tpm2-abrmd, tpm2-pkcs11."""

import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

from support.agent import until

MODULE = next(Path("/usr/lib").glob("*/pkcs11/libtpm2_pkcs11.so"), None)
PROGRAMS = ("swtpm", "tpm2-abrmd", "tpm2_ptool", "dbus-daemon")
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
PIN = "4321"


def is_installed() -> bool:
    """Whether this machine has what it takes (apt-get install swtpm tpm2-abrmd libtpm2-pkcs11-tools …)."""
    return MODULE is not None and all(shutil.which(program, path=PATH) for program in PROGRAMS)


def _two_ports() -> int:
    """A free port, with another behind it: swtpm's control port must follow its server port."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as free, contextlib.suppress(OSError):
            port: int = free.getsockname()[1]
            socket.create_server(("127.0.0.1", port + 1)).close()
            return port


class SwTpm:
    """A token ``fleet`` in a TPM, for as long as the block lasts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "tpm"
        (self._folder / "state").mkdir(parents=True)
        (self._folder / "store").mkdir()
        self._running: list[subprocess.Popen[str]] = []
        self.pin_file = self._folder / "pin"
        self.pin_file.write_text(PIN)
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _begin(self) -> None:
        port = _two_ports()
        self._start("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self._folder / 'state'}",
                    "--server", f"type=tcp,port={port},bindaddr=127.0.0.1",
                    "--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1",
                    "--flags", "not-need-init,startup-clear")  # fmt: skip
        bus = f"unix:path={self._folder / 'bus'}"
        self._start("dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={bus}")
        until((self._folder / "bus").exists, "the bus", 30)
        self.environment = {
            "DBUS_SESSION_BUS_ADDRESS": bus,
            "TPM2_PKCS11_TCTI": "tabrmd:bus_type=session",
            "TPM2TOOLS_TCTI": "tabrmd:bus_type=session",
            "TPM2_PKCS11_STORE": str(self._folder / "store"),
            "TSS2_LOG": "all+NONE",
        }
        self._start("tpm2-abrmd", "--session", "--allow-root", "--flush-all",
                    f"--tcti=swtpm:host=127.0.0.1,port={port}")  # fmt: skip
        until(lambda: self._tool("init"), "the TPM answers", 30)
        assert self._tool(
            "addtoken", "--pid=1", "--label=fleet", f"--userpin={PIN}", "--sopin=1234"
        )

    def __exit__(self, *_: object) -> None:
        for each in reversed(self._running):
            each.terminate()
            each.wait(20)

    def _start(self, program: str, *words: str) -> None:
        self._running.append(
            subprocess.Popen(
                [shutil.which(program, path=PATH) or program, *words],
                env={**os.environ, **self.environment},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )

    def _tool(self, verb: str, *words: str) -> bool:
        """Runs ``tpm2_ptool``, which belongs to Debian's own Python; whether it went well."""
        environment = {**os.environ, **self.environment, "PATH": PATH}
        done = subprocess.run(
            ["tpm2_ptool", verb, *words], env=environment, capture_output=True, check=False
        )
        return done.returncode == 0
