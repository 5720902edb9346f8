"""Real systemd in containers: needs root, and network namespaces; everything else is installed or made here."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boot import machine, roots
from boot.machine import HOST, Machine
from boot.network import Network, network
from iot_sandbox.launch import Sandbox, launch
from support.fleets import Fleet, make_fleet

_serials = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these are slow, and have the time to install and make what they need."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder for all of pytest's workers."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def tools(root_dir: Path, shared: Path) -> None:
    """What Debian calls the programs that these tests use; skips where they cannot run."""
    if os.geteuid() != 0:
        pytest.skip("booting containers takes root")
    command = f". {root_dir}/scripts/environment && apt_install mmdebstrap systemd-container iproute2 lintian apt-utils"
    with roots.alone(shared / "apt.lock"):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    if not all(map(shutil.which, ("mmdebstrap", "systemd-nspawn", "ip"))):
        pytest.skip(f"mmdebstrap, systemd-nspawn and ip are needed: {done.stderr[-300:]}")
    # A container may be allowed namespaces and nothing in them.
    trial = subprocess.run(
        ["unshare", "--net", "--mount", "ip", "link", "add", "trial0", "type", "veth"],
        capture_output=True,
        check=False,
    )
    if trial.returncode != 0:
        pytest.skip(f"no namespaces with networks of their own here: {trial.stderr.decode()}")


@pytest.fixture(scope="session")
def deb(tools: None, shared: Path, root_dir: Path) -> Path:  # noqa: ARG001 - for its order
    """The package, built from this checkout; or the one that ``FLEET_AGENT_DEB`` names."""
    if given := os.environ.get("FLEET_AGENT_DEB"):
        return Path(given)
    folder = shared / "deb"
    with roots.alone(shared / "deb.lock"):
        if not (folder / "done").exists():
            folder.mkdir(exist_ok=True)
            built = subprocess.run(
                [root_dir / "scripts" / "build-deb"], capture_output=True, text=True, check=False
            )
            assert built.returncode == 0, built.stderr
            shutil.copy(built.stdout.strip(), folder)
            (folder / "done").touch()
    return next(folder.glob("*.deb"))


@pytest.fixture(
    scope="session",
    params=[
        roots.SUITES[0],
        *(pytest.param(s, marks=pytest.mark.thorough) for s in roots.SUITES[1:]),
    ],
)
def suite(request: pytest.FixtureRequest) -> str:
    """Which Debian is booted."""
    name = request.param
    assert isinstance(name, str)
    return name


@pytest.fixture(scope="session")
def installed(deb: Path, suite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root with the package installed, not configured; stays as it is."""
    root = roots.mount(roots.base_root(suite), tmp_path_factory.mktemp("installed"))
    try:
        roots.install(root, deb)
        yield root
    finally:
        roots.unmount(root)


@pytest.fixture(scope="session")
def wire(tools: None) -> Iterator[Network]:  # noqa: ARG001 - for its order
    """The network that machines and sandbox share."""
    with network() as made:
        yield made


@pytest.fixture(scope="session")
def sandbox(wire: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """An AWS IoT Core that listens on that network alone."""
    arguments = ("--host", wire.host, "--name", HOST)
    with launch(tmp_path_factory.mktemp("sandbox"), arguments=arguments) as running:
        yield running


@pytest.fixture(scope="session")
def fleet(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """A fleet of that sandbox."""
    return make_fleet(sandbox, tmp_path_factory.mktemp("claim"))


@pytest.fixture
def make_machine(
    installed: Path, wire: Network, fleet: Fleet, tmp_path: Path
) -> Iterator[Callable[[], Machine]]:
    """Machines with the package installed, not configured, and off."""
    made: list[Machine] = []

    def make() -> Machine:
        serial = f"boot{os.getpid()}x{next(_serials)}"
        made.append(machine.new(tmp_path / serial, installed, wire, fleet, serial))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.cut_power()
            roots.unmount(each.root)
            shutil.rmtree(each.root.parent, ignore_errors=True)


@pytest.fixture
def device(make_machine: Callable[[], Machine]) -> Machine:
    """A machine that is configured, and off."""
    made = make_machine()
    made.configure()
    return made


@pytest.fixture(scope="session")
def clock_shift(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """A library that shifts the wall clock of who loads it, by the seconds in /etc/clock-shift."""
    library = tmp_path_factory.mktemp("clock") / "clock-shift.so"
    source = Path(__file__).with_name("clock_shift.c")
    roots.run("gcc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source))
    return library
