"""``download-file``, the helper's example: https, an allowed folder, the sum, and going on where it was cut off."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from support.certificates import make_pair
from support.https import serving

CONTENT = bytes(range(256)) * 4000
SUM = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Downloads:
    """A web server and a folder that downloads may go to."""

    program: Path
    folder: Path
    ca: Path
    port: int = 0
    # After so many bytes an answer is cut off.
    cut: int | None = None
    asked: list[str | None] = field(default_factory=list)

    def download(
        self, path: str, *more: str, url: str = "file"
    ) -> "subprocess.CompletedProcess[str]":
        url = url if ":" in url else f"https://localhost:{self.port}/{url}"
        return subprocess.run(
            [sys.executable, "-I", self.program, url, path, *more],
            env={"SSL_CERT_FILE": str(self.ca)}, capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture
def downloads(tmp_path: Path, root_dir: Path) -> Iterator[Downloads]:
    program, folder = tmp_path / "download-file", tmp_path / "allowed"
    shutil.copy(root_dir / "packaging" / "helpers.d" / "download-file", program)
    folder.mkdir()
    (tmp_path / "sums").mkdir()
    (tmp_path / "download-file.allow").write_text(f"# folders\n{folder}\n{tmp_path}/sums sha256\n")
    pair = make_pair(tmp_path / "tls", name="localhost")
    made = Downloads(program, folder, pair.certificate)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.headers["Range"])
            if self.path == "/away":
                self.send_response(302)
                self.send_header("Location", f"http://localhost:{made.port}/file")
                self.end_headers()
                return
            start = int((self.headers["Range"] or "bytes=0-")[6:-1])
            if start >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start:][: made.cut])

        def log_message(self, *_: object) -> None:
            pass

    with serving(Answer, pair) as made.port:
        yield made


def test_it_arrives_whole_and_names_its_sum(downloads: Downloads) -> None:
    target = downloads.folder / "app.bin"
    done = downloads.download(str(target), SUM)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{target}: sha256 {SUM}\n"
    assert target.read_bytes() == CONTENT
    assert [path.name for path in downloads.folder.iterdir()] == ["app.bin"]
    assert downloads.download(str(downloads.folder / "other")).returncode == 0


def test_it_reads_its_arguments_where_none_are_in_the_command_line(downloads: Downloads) -> None:
    target = downloads.folder / "app.bin"
    words = (f"https://localhost:{downloads.port}/file?X-Amz-Signature=1", str(target), SUM)
    done = subprocess.run(
        [sys.executable, "-I", downloads.program], env={"SSL_CERT_FILE": str(downloads.ca)}, capture_output=True,
        text=True, input="".join(f"{word}\0" for word in words), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{target}: sha256 {SUM}\n")
    assert target.read_bytes() == CONTENT


def test_cut_off_it_goes_on_where_it_was(downloads: Downloads) -> None:
    target = downloads.folder / "app.bin"
    downloads.cut = 300_000
    done = downloads.download(str(target), SUM)
    assert (done.returncode, target.exists()) == (69, False)
    assert "300000 of 1024000" in done.stderr
    downloads.cut = None
    assert downloads.download(str(target), SUM.upper()).returncode == 0
    assert downloads.asked == [None, "bytes=300000-"]
    assert target.read_bytes() == CONTENT
    # All of it was there already, but for the last rename.
    target.rename(downloads.folder / f".app.bin.{SUM[:16]}.part")
    assert downloads.download(str(target), SUM).returncode == 0
    assert target.read_bytes() == CONTENT


def test_what_has_another_sum_is_thrown_away(downloads: Downloads) -> None:
    done = downloads.download(str(downloads.folder / "app.bin"), "0" * 64)
    assert (done.returncode, SUM in done.stderr) == (65, True)
    assert list(downloads.folder.iterdir()) == []


def test_what_is_not_allowed_is_not_even_asked_for(downloads: Downloads, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (downloads.folder / "link").symlink_to(outside)
    for path, *more in (
        (str(outside / "x"),),
        (f"{downloads.folder}/../outside/x",),
        (f"{downloads.folder}/link/x",),
        (f"{downloads.folder}/no-folder/x",),
        (f"{downloads.folder}x/y",),
        ("relative",),
        (f"{tmp_path}/sums/x",),
        (str(downloads.folder / "x"), "no sum"),
    ):
        done = downloads.download(path, *more)
        assert done.returncode in (64, 77), path
        assert done.stderr.count("\n") == 1, done.stderr
    for url in ("http://localhost/x", "file:///etc/shadow", "ftp://localhost/x"):
        assert downloads.download(str(downloads.folder / "x"), url=url).returncode == 77
    for url in (
        "https://[/x",
        "https://h:x/",
        "https://",
        "https://h/a b",
        "https://\u00fc/",
        "https://h/\n",
    ):
        done = downloads.download(str(downloads.folder / "x"), url=url)
        assert done.returncode in (64, 69), url
        assert done.stderr.count("\n") == 1, done.stderr
    assert downloads.asked == []
    assert list(outside.iterdir()) == []
    assert downloads.download(f"{tmp_path}/sums/x", SUM).returncode == 0


def test_no_link_that_lies_there_is_written_through(downloads: Downloads, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (downloads.folder / f".app.bin.{SUM[:16]}.part").symlink_to(victim)
    done = downloads.download(str(downloads.folder / "app.bin"), SUM)
    assert done.returncode == 77
    (downloads.folder / f".app.bin.{SUM[:16]}.part").unlink()
    # The target itself is replaced, not followed.
    (downloads.folder / "app.bin").symlink_to(victim)
    assert downloads.download(str(downloads.folder / "app.bin"), SUM).returncode == 0
    assert not (downloads.folder / "app.bin").is_symlink()
    assert victim.read_text() == "mine"


def test_a_way_out_of_https_is_not_taken(downloads: Downloads) -> None:
    done = downloads.download(str(downloads.folder / "x"), url="away")
    assert (done.returncode, "not https" in done.stderr) == (77, True)


def test_a_server_that_is_not_trusted_or_not_there(downloads: Downloads) -> None:
    downloads.ca = Path("/dev/null")
    done = downloads.download(str(downloads.folder / "x"))
    assert done.returncode == 69
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
    done = downloads.download(str(downloads.folder / "x"), url="https://localhost:1/x")
    assert (done.returncode, done.stderr.count("\n")) == (69, 1)


@pytest.mark.parametrize("more", [(), (SUM,)])
def test_a_second_name_of_a_file_elsewhere_is_left_alone(
    downloads: Downloads, tmp_path: Path, more: tuple[str, ...]
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    victim.chmod(0o600)
    name = f".app.bin.{SUM[:16] if more else 'new'}.part"
    (downloads.folder / name).hardlink_to(victim)
    done = downloads.download(str(downloads.folder / "app.bin"), *more)
    assert (done.returncode, done.stderr) == (77, f"{name} is somebody else's\n")
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("mine", 0o600)
