"""The group ``aria`` itself: its options, its words, and how every error ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from .printing import clean, say
from .program import Options, Program

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from aria_core import Extensions

WORDS: Mapping[str, str] = MappingProxyType({
    "run": "Make a service of a template and run a workflow on it.",
    "service-templates": "Store, look at and delete service templates.",
    "services": "Create, look at and delete services.",
    "nodes": "Look at nodes.",
    "workflows": "Look at workflows.",
    "executions": "Start, resume, cancel and look at executions.",
    "worker": "Run operations for runners on any host.",
    "runner": "Run the executions of the queue.",
    "logs": "Look at the logs of executions.",
    "plugins": "Make, install and look at plugins.",
    "extensions": "Look at extensions and what is wrong with them.",
    "config": "Show the configuration.",
    "reset": "Remove everything that is stored.",
    "completion": "Print the completion script for a shell.",
})
"""Our own words and what they do, in the order of the help, which imports none of them."""

_LEVELS = {-2: "critical", -1: "error", 0: None, 1: "info", 2: "debug"}


class Root(click.Group):
    """A group whose commands are entry points, ours and strangers', each imported when it is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None,
                     **extra: Any) -> click.Context:
        """The context of one call; it carries a `Program` and closes it."""
        program = Program()
        context = super().make_context(info_name, args, parent, obj=program, **extra)
        context.call_on_close(program.close)
        return context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The words: ours first, then those of other distributions by name."""
        others = sorted(set(_extensions(ctx).commands) - set(WORDS))
        return [*WORDS, *others]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command behind a word; raises what is wrong with a stranger's."""
        offered = [each for each in _extensions(ctx).catalogue.of("aria.commands") if each.name == cmd_name]
        ours = next((each for each in offered if each.ours), None)
        if ours is not None:
            loaded: click.Command = ours.entry_point.load()
            return loaded
        return _strange_command(_extensions(ctx), cmd_name) if offered else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Our words with what they do, strangers' with where they come from: nothing is imported."""
        with formatter.section("Commands"):
            formatter.write_dl(list(WORDS.items()))
        strange = [each for each in _extensions(ctx).commands.values() if not each.ours]
        if strange:
            with formatter.section("Commands of extensions"):
                formatter.write_dl([(each.name, f"from {each.distribution} {each.version}")
                                    for each in strange])

    def resolve_command(self, ctx: click.Context,
                        args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, but a word that does not exist is told with those that do."""
        if args and not args[0].startswith("-") and not ctx.resilient_parsing:
            command = self.get_command(ctx, args[0])
            if command is None:
                known = ", ".join(self.list_commands(ctx))
                raise click.UsageError(f"there is no command {clean(args[0])!r}; there are: {known}", ctx)
            return args[0], command, args[1:]
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The words and options that begin so; no command is imported."""
        from click.shell_completion import CompletionItem

        words = [CompletionItem(word) for word in self.list_commands(ctx) if word.startswith(incomplete)]
        return [*words, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; with ``--debug`` the traceback of whatever it raises is printed."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, SystemExit):
            raise
        except BaseException as error:
            if _tells_that_nobody_reads(error):  # click would exit with 1, but the reader has what it wanted
                _forget_output()
                return 0
            if ctx.params.get("debug"):
                import traceback

                traceback.print_exception(error)
            raise

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None,
             complete_var: str | None = None, standalone_mode: bool = True,
             windows_expand_args: bool = True, **extra: Any) -> Any:
        """Run ``aria`` and exit with the code that tells how it went; every error is one sentence."""
        def run() -> Any:
            return click.Group.main(self, args, prog_name or "aria", complete_var, standalone_mode=False,
                                    **extra)
        return sys.exit(exit_code(run)) if standalone_mode else run()


def _extensions(ctx: click.Context) -> Extensions:
    program: Program = ctx.find_root().ensure_object(Program)
    return program.extensions


def _strange_command(extensions: Extensions, word: str) -> click.Command:
    from aria_core import ExtensionBrokenError

    command = extensions.command(word)
    if not isinstance(command, click.Command):
        provider = extensions.catalogue.choose("aria.commands", word)
        raise ExtensionBrokenError(f"{provider} is {command!r}, which is no click command")
    return command


def exit_code(run: Callable[[], Any]) -> int:
    """The exit code of `run`, which gives one or None; what it raises is told on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what a terminal cannot show must not end the program
            stream.reconfigure(errors="backslashreplace")
    code = 0
    try:
        code = int(run() or 0)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - the end of the program
        code = code if _tells_that_nobody_reads(error) else _told(error)
    _flush()
    return code


def _tells_that_nobody_reads(error: BaseException) -> bool:
    """Whether the reader of standard output has what it wanted, or the terminal was closed."""
    if isinstance(error, BrokenPipeError):
        return True
    return isinstance(error, OSError) and error.errno == errno.EIO and _has_lost_terminal()


def _has_lost_terminal() -> bool:
    import termios

    try:
        termios.tcgetattr(sys.stdout.fileno())
    except termios.error as error:
        return bool(error.args[0] == errno.EIO)
    except (OSError, ValueError):  # no real stream: a test's
        return False
    return False


def _flush() -> None:
    """Leave nothing to the interpreter's own flush, whose failure would be another exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        _forget_output()


def _forget_output() -> None:
    """Give the interpreter something to flush into at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError:  # no real stream: a test's
        return


def _told(error: BaseException) -> int:
    from aria_core import AriaError

    match error:
        case SystemExit():
            return _exit_code(error.code)
        case KeyboardInterrupt() | click.Abort():
            say("interrupted")
            return 130
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return error.exit_code
        case click.ClickException():
            say(_usage(error))
            return error.exit_code
        case AriaError():
            say(str(error) or type(error).__name__)
            return error.exit_code
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    say(f"unexpected error: {text} (the option --debug before the command, or ARIA_DEBUG=1, shows where)")
    return 1


def _exit_code(given: object) -> int:
    if given is None or isinstance(given, int):
        return given or 0
    say(str(given))
    return 1


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    message = error.format_message().rstrip(".")
    return message if context is None else f"{message} ('{context.command_path} --help' tells more)"


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from aria_core import __version__

        click.echo(f"aria {__version__}")
        ctx.exit()


def _settings(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    for name, equals, _value in pairs:
        if not equals or "." not in name:
            raise click.BadParameter(f"{clean(name)!r} is not like executor.slots=2")
    return {name: value for name, _, value in pairs}


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "-c", "file", type=click.Path(path_type=Path), metavar="FILE",
              help="The aria.toml to use instead of the nearest one.")
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", callback=_settings,
              help="One setting, for this call. May be repeated.")
@click.option("-v", "--verbose", count=True, help="Log more; twice: everything.")
@click.option("-q", "--quiet", count=True, help="Show no progress and log errors only.")
@click.option("--debug", is_flag=True, envvar="ARIA_DEBUG", help="Show where an error comes from.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
              help="Show the version and exit.")
@click.pass_context
def aria(  # noqa: PLR0917 - click hands one argument for each option
        ctx: click.Context, file: Path | None, settings: dict[str, Any], verbose: int, quiet: int,
        debug: bool) -> None:
    """Describe services, run workflows on them, look at what happened."""
    level = _LEVELS[max(-2, min(2, verbose - quiet))]
    flags = settings if level is None else {"logging.level": level, **settings}
    ctx.ensure_object(Program).options = Options(file, flags, quiet > 0, debug)
