"""Which source of speed parameters a study has, by its spec's ``speed_search``."""

from collections.abc import Callable

from autotune.coordinator.books import Books
from autotune.coordinator.fitting import Fitting
from autotune.coordinator.opening.stage import Stage
from autotune.coordinator.races.ground import RaceGround
from autotune.coordinator.races.in_study import RacedSpeeds
from autotune.coordinator.races.log import RaceLog
from autotune.coordinator.speeds import FixedSpeeds, JointSpeeds, Speeds
from autotune.coordinator.standing import Standing
from autotune.search.races import RaceStudy
from autotune.trial.launcher import Launcher


def make_speeds(
    books: Books,
    *,
    stage: Stage,
    launcher: Launcher,
    standing: Standing,
    fitting: Fitting,
    note: Callable[[str], None],
) -> Speeds:
    """The sampler, the baseline, or races; the baseline too where a race would have nothing to try.

    What races have found is read from the database here.
    """
    name = books.spec.speed_search.name
    if name == "joint":
        return JointSpeeds()
    ground = RaceGround(
        books.spec,
        name=books.study.name,
        stage=stage,
        launcher=launcher,
        folder=books.files.race_folder,
        knobs=stage.knobs,
    )
    if name == "fixed" or not ground.entries:
        return FixedSpeeds(stage.space)
    heats = RaceStudy(books.study.name, storage=books.search.storage, values=ground.values)
    log = RaceLog(books.records, heats=heats, study=books.study)
    raced = RacedSpeeds(books, ground=ground, log=log, space=stage.space, standing=standing, fitting=fitting, note=note)
    raced.load()
    return raced
