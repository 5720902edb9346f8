"""What a process has used so far."""

from pathlib import Path


class Used:
    """What a process has used so far, all of its threads together.

    Args:
        process: Its id.
    """

    def __init__(self, process: int) -> None:
        self._folder = Path(f"/proc/{process}")

    def cpu(self) -> float:
        """Seconds."""
        texts = [task.read_text() for task in self._tasks("schedstat")]
        return sum(int(text.split()[0]) for text in texts) / 1e9

    def written(self) -> int:
        """Bytes to what is below the files: what it dirtied, in pages of 4 KiB."""
        text = (self._folder / "io").read_text()
        return int(text.partition("\nwrite_bytes: ")[2].split()[0])

    def wakeups(self) -> int:
        """Voluntary context switches."""
        return sum(
            int(task.read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])
            for task in self._tasks("status")
        )

    def memory(self) -> tuple[float, float]:
        """RSS and PSS in MiB, now."""
        text = (self._folder / "smaps_rollup").read_text()
        rss, pss = (
            int(text.partition(f"\n{name}:")[2].split()[0]) / 1024 for name in ("Rss", "Pss")
        )
        return rss, pss

    def _tasks(self, name: str) -> list[Path]:
        return [task / name for task in (self._folder / "task").iterdir()]
