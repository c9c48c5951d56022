"""``autotune space``: study specs before a study is made of them."""

from autotune.cli.lazy import LazyCommand, LazyGroup

space = LazyGroup(
    name="space",
    help="Look at study specs and their search spaces.",
    lazy={
        "list": LazyCommand("autotune.cli.space.reading:list_names", "List the specs that come with the package."),
        "show": LazyCommand("autotune.cli.space.reading:show", "Print a spec's YAML, to copy and change."),
        "check": LazyCommand(
            "autotune.cli.space.reading:check", "Check a spec, and print what is searched on this machine."
        ),
        "schema": LazyCommand("autotune.cli.space.reading:schema", "Print the JSON schema of a spec, for editors."),
    },
)
