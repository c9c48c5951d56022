"""``autotune trial``: what concerns one trial of a study."""

from autotune.cli.lazy import LazyCommand, LazyGroup

trial = LazyGroup(
    name="trial",
    help="Work with one trial of a study.",
    lazy={"replay": LazyCommand("autotune.cli.trial.replaying:replay", "Train a trial again and compare its losses.")},
)
