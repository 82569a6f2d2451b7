"""``aria completion``: the script that makes a shell complete words and options."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    For bash: eval "$(aria completion bash)"
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is not None:
        root = ctx.find_root()
        script = kind(root.command, {}, root.info_name or "aria", "_ARIA_COMPLETE")
        click.echo(script.source_template % script.source_vars())
