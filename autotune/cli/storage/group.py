"""``autotune storage``: the database that studies live in."""

from autotune.cli.lazy import LazyCommand, LazyGroup

storage = LazyGroup(
    name="storage",
    help="Back up, check and upgrade the database that studies live in.",
    lazy={
        "backup": LazyCommand("autotune.cli.storage.keeping:backup", "Copy the database to FILE while studies run."),
        "check": LazyCommand(
            "autotune.cli.storage.keeping:check", "Read all of the database, and say what is wrong with it."
        ),
        "upgrade": LazyCommand(
            "autotune.cli.storage.keeping:upgrade", "Bring the database to this version's schema, after a backup."
        ),
    },
)
