"""A study whose trials each wait at their first batch until they are let through: nothing moves unless it is to."""

from pathlib import Path

from tests.e2e.home import TASK, Home, make_home, wait_until

_GATED = """

class Gated(Tiny):
    # Each trial waits at its first batch until its file is deleted; the rehearsal, of eight samples, does not.

    def train_data(self, params):
        return self._points(1, 64)

    def forward(self, model, batch):
        gate = Path(f"held-{os.getpid()}")
        if len(batch[0]) > 8 and Path("gated").exists() and not getattr(self, "is_through", False):
            self.is_through = True
            gate.touch()
            while gate.exists():
                time.sleep(0.01)
        print("a step", flush=True)
        return super().forward(model, batch)
"""


def make_gated_home(folder: Path, *, trials: int, epochs: int) -> Home:
    """A home whose study has such trials, of one step an epoch."""
    home = make_home(folder)
    (folder / "tiny.py").write_text(f"import os\nfrom pathlib import Path\n{TASK}{_GATED}")
    spec = (folder / "tiny.yaml").read_text().replace("Tiny", "Gated")
    (folder / "tiny.yaml").write_text(spec.replace("trials: 4, epochs: 3", f"trials: {trials}, epochs: {epochs}"))
    (folder / "gated").touch()
    return home


def open_gates(folder: Path) -> None:
    """Let all trials that come through."""
    (folder / "gated").unlink()


def wait_for_held_trial(folder: Path) -> Path:
    """The gate of the trial that waits; it goes on when that is deleted."""
    wait_until(lambda: any(folder.glob("held-*")), timeout=50, what="a trial at its first batch")
    return next(folder.glob("held-*"))
