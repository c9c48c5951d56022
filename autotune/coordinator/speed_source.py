"""Which source of speed parameters a study has, by its spec's ``speed_search``."""

from collections.abc import Callable

from autotune.coordinator.ledger import Books
from autotune.coordinator.races import RacedSpeeds, RaceGround, entries_of
from autotune.coordinator.speeds import FixedSpeeds, JointSpeeds, Speeds
from autotune.coordinator.stage import Stage
from autotune.coordinator.standing import Standing
from autotune.search.races import RaceStudy
from autotune.speed.knobs import KNOBS
from autotune.trial.launcher import Launcher


def make_speeds(
    books: Books, *, stage: Stage, launcher: Launcher, standing: Standing, note: Callable[[str], None]
) -> Speeds:
    """The sampler, the baseline, or races; the baseline too where a race would have nothing to try."""
    space = stage.space
    if books.spec.speed_search.name == "joint":
        return JointSpeeds()
    entries = entries_of(space, knobs=KNOBS, num_cores=stage.pool.num_cores, machine=stage.machine)
    if books.spec.speed_search.name == "fixed" or not entries:
        return FixedSpeeds(space)
    return RacedSpeeds(
        RaceGround(
            spec=books.spec,
            space=space,
            entries=entries,
            study=books.study,
            records=books.records,
            heats=RaceStudy(
                books.study.name,
                storage=books.search.storage,
                values={entry.name: entry.values for entry in entries},
            ),
            machine=stage.machine,
            device=stage.device,
            num_cores=stage.pool.num_cores,
            launcher=launcher,
            standing=standing,
            folder=books.files.race_folder,
            note=note,
        )
    )
