"""`python -m leadhook` is `leadhook`."""

import sys


def main() -> None:
    try:
        from leadhook.cli import main as run  # takes a third of a second, in which Ctrl-C ends it quietly too

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
