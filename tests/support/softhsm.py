"""A PKCS#11 token in software: SoftHSM 2, with a folder of its own for each test.

hsm = SoftHsm(tmp_path)
agent.provision(env=hsm.environment)     # with a configuration that has ``hsm.key()``
assert hsm.labels() == ["device"]
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN, SO_PIN = "4321", "87654321"
TOKEN = "fleet"


class SoftHsm:
    """A token ``fleet`` and the file of its PIN.

    Args:
        folder: Gets both, and SoftHSM's configuration.
    """

    def __init__(self, folder: Path) -> None:
        assert MODULE.exists(), "apt-get install softhsm2 opensc (scripts/test does)"
        self._folder = folder / "softhsm"
        self._tokens = self._folder / "tokens"
        self._tokens.mkdir(parents=True)
        configuration = self._folder / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {self._tokens}\nlog.level = ERROR\n")
        self.environment = {"SOFTHSM2_CONF": str(configuration)}
        self.pin_file = self._folder / "pin"
        self.pin_file.write_text(f"{PIN}\n")
        self.add_token()

    def add_token(self) -> None:
        """Plug in a token of this label: the first one, or another of the same."""
        self._run("softhsm2-util", "--init-token", "--free", "--label", TOKEN,
                  "--pin", PIN, "--so-pin", SO_PIN)  # fmt: skip

    def key(self, **changes: object) -> dict[str, Any]:
        """The section ``provisioning.key`` for this token."""
        return {
            "store": "pkcs11",
            "module": str(MODULE),
            "token": TOKEN,
            "label": "device",
            "pin_file": str(self.pin_file),
            **changes,
        }

    def uri(self, label: str) -> str:
        """The PKCS#11 URI of a key."""
        return (
            f"pkcs11:token={TOKEN};object={label}?module-path={MODULE}&pin-source={self.pin_file}"
        )

    def tool(self, *words: str | Path) -> str:
        """Runs ``pkcs11-tool`` on the token; what it says."""
        login = ("--token-label", TOKEN, "--login", "--pin", PIN)
        return self._run("pkcs11-tool", "--module", MODULE, *login, *words)

    def labels(self) -> list[str]:
        """The labels of its private keys."""
        return sorted(re.findall(r"label: +(\S+)", self.tool("-O", "--type", "privkey")))

    def put(self, pem: Path, label: str) -> None:
        """Puts a private key into it, as a factory does."""
        self._run("softhsm2-util", "--import", self._pkcs8(pem), "--token", TOKEN, "--label", label,
                  "--id", "c1", "--pin", PIN)  # fmt: skip

    def _pkcs8(self, pem: Path) -> Path:
        out = self._folder / "key.p8"
        self._run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", pem, "-out", out)
        return out

    def remove(self) -> None:
        """Pulls the token out."""
        self._tokens.rename(self._folder / "away")
        self._tokens.mkdir()

    def plug_in(self) -> None:
        """Puts it back."""
        shutil.rmtree(self._tokens)
        (self._folder / "away").rename(self._tokens)

    def _run(self, *words: str | Path) -> str:
        done = subprocess.run(
            [str(word) for word in words],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
