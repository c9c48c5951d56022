"""``autotune completion``: click's own completion scripts, and how to use them."""

import click
from click.shell_completion import get_completion_class

from autotune.cli.main import root

_VARIABLE = "_AUTOTUNE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(*, shell: str) -> None:
    """Print the script that completes in a shell.

    Commands, options, names of studies and names of specs complete with TAB after one of

    \b
      bash:  echo 'eval "$(autotune completion bash)"' >> ~/.bashrc
      zsh:   echo 'eval "$(autotune completion zsh)"' >> ~/.zshrc
      fish:  autotune completion fish > ~/.config/fish/completions/autotune.fish

    and a new shell.
    """  # noqa: D301 - click wants the character itself before lines that it is to leave as they are
    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(root, {}, "autotune", _VARIABLE).source())
