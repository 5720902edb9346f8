"""The folder of a claim: what ``claim`` writes, and what ``config`` finds."""

import dataclasses
import os
from pathlib import Path

from fleet_cloud.aws.calls import Answer, Aws, parse, text
from fleet_cloud.aws.names import CLAIM_CERTIFICATE_FILE, CLAIM_KEY_FILE
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.local import files, openssl, quoting
from fleet_cloud.local.shell import Command, Shell, Variable

_OTHERS = 0o077


@dataclasses.dataclass(frozen=True)
class ClaimFolder:
    """A folder that has, or will have, a claim certificate and its private key."""

    path: Path

    @property
    def certificate(self) -> Path:
        """The certificate's file."""
        return self.path / CLAIM_CERTIFICATE_FILE

    @property
    def key(self) -> Path:
        """The private key's file."""
        return self.path / CLAIM_KEY_FILE

    @property
    def is_complete(self) -> bool:
        """Both files are there."""
        return self.certificate.is_file() and self.key.is_file()

    def check_empty(self) -> None:
        """Checks that neither file is there.

        Raises:
            FleetCloudError: One is.
        """
        for path in (self.key, self.certificate):
            self._check_free(path)

    def certificate_id(self, shell: Shell) -> str | None:
        """Returns the id of the certificate that exists; nothing when it is yet to be made.

        Raises:
            FleetCloudError: What is there cannot be used: a certificate without its key, files cut off.
        """
        pem = files.read(self.certificate)
        if pem is None:
            self._check_free(self.certificate)
        if not self.key.exists():
            if pem is None:
                return None
            raise FleetCloudError(
                f"{self.certificate} exists without its key {self.key.name}",
                remedy="put the key beside it, or choose another --out for a new claim",
                code="key-missing",
            )
        self._check_key(shell)
        if pem is None:
            return None
        found = openssl.certificate_id(pem, self.certificate)
        openssl.check_pair(shell, self.certificate, self.key)
        return found

    def take(self, aws: Aws, command: Command) -> Answer | None:
        """Writes the key and the certificate that a command answers with; in a dry run print that.

        By hand the answer goes into a file, never onto the terminal: it contains the key.
        """
        shell = aws.shell
        if not shell.dry_run:
            answer = parse(aws.change(command), command)
            files.create_secret(self.key, text(answer, "keyPair", "PrivateKey"))
            files.create_secret(self.certificate, text(answer, "certificatePem"))
            return answer
        aws.change(dataclasses.replace(command, secret_file=self._answer))
        shell.change(self.out_of_answer("['keyPair']['PrivateKey']", secret_file=self.key))
        shell.change(self.out_of_answer("['certificatePem']", secret_file=self.certificate))
        return None

    def out_of_answer(
        self, key: str, *, into: Variable | None = None, secret_file: Path | None = None
    ) -> Command:
        """Returns the command that takes something out of the answer's file."""
        lines = f"import json, sys; print(json.load(open(sys.argv[1])){key})"
        return Command(
            words=("python3", "-c", lines, str(self._answer)), into=into, secret_file=secret_file
        )

    @staticmethod
    def _check_free(path: Path) -> None:
        """Checks that nothing is in a file's place, such as a link that would lead what is written elsewhere."""
        if os.path.lexists(path):
            raise FleetCloudError(
                f"{path} already exists, and a claim is never overwritten",
                remedy="choose another --out, or move that file away",
                code="file-exists",
            )

    @property
    def _answer(self) -> Path:
        return self.path / "claim.json"

    def _check_key(self, shell: Shell) -> None:
        # openssl reads a key in DER, too, and a device does not.
        files.read(self.key)
        openssl.public_key(shell, self.key)
        if self.key.stat().st_mode & _OTHERS:
            mode = quoting.line(["chmod", "600", self.key])
            shell.console.say(f"warning: other users can read {self.key}; type: {mode}")
