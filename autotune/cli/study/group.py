"""``autotune study``: the commands around a study, each imported when it runs."""

from autotune.cli.lazy import LazyCommand, LazyGroup

study = LazyGroup(
    name="study",
    help="""Start, resume and look at studies.

    A study lives in the storage under its name; start and resume both go on where it was.
    """,
    lazy={
        "start": LazyCommand("autotune.cli.study.starting:start", "Run a study, or go on with it."),
        "resume": LazyCommand("autotune.cli.study.starting:resume", "Go on with a study by its name alone."),
        "confirm": LazyCommand(
            "autotune.cli.study.confirming:confirm",
            "Train the winner and the baseline again on fresh seeds, and say what is left of the gain.",
        ),
        "list": LazyCommand("autotune.cli.study.reading:list_studies", "List the studies of a storage."),
        "show": LazyCommand(
            "autotune.cli.study.reading:show", "Show what a study found, with addresses to look closer."
        ),
        "best": LazyCommand("autotune.cli.study.reading:best", "Show the parameters of the best trial."),
        "trials": LazyCommand("autotune.cli.study.reading:trials", "List the trials of a study."),
        "watch": LazyCommand(
            "autotune.cli.study.following:watch", "Show a running study as its own terminal does, from any other one."
        ),
        "logs": LazyCommand("autotune.cli.study.following:logs", "Print what a trial wrote to its stdout and stderr."),
        "compare": LazyCommand(
            "autotune.cli.study.comparing:compare", "Show studies, or trials of them, side by side."
        ),
        "report": LazyCommand(
            "autotune.cli.study.reporting:report", "Write what a study found as a page that loads nothing."
        ),
        "export": LazyCommand(
            "autotune.cli.study.exporting:export", "Write all trials and every epoch that they reported to files."
        ),
        "import": LazyCommand(
            "autotune.cli.study.importing:import_trials", "Take trials of another program's Optuna study into a study."
        ),
        "delete": LazyCommand(
            "autotune.cli.study.changing:delete", "Delete a study with its checkpoints and MLflow runs."
        ),
        "sync": LazyCommand("autotune.cli.study.changing:sync", "Deliver to MLflow what it has not got yet."),
        "rebuild-mlflow": LazyCommand(
            "autotune.cli.study.changing:rebuild_mlflow", "Make all MLflow runs of a study again."
        ),
    },
)
