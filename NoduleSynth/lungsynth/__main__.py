"""``python -m lungsynth``: the same as the ``lungsynth`` command."""

import io
import sys


def main() -> None:
    """Run the command line and leave with its exit status."""
    try:
        from lungsynth.cli.app import run
        from lungsynth.cli.stdin_watch import end_with_stdin, is_wanted
    except KeyboardInterrupt:  # Ctrl-C before the command line has taken over the signals
        sys.exit(130)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a path may hold what a terminal can't show
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.argv[1:2] != ["worker"] and is_wanted():  # the worker reads its stdin itself
        end_with_stdin()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
