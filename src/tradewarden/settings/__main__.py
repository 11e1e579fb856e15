"""Prints what is made from the table of variables: `python -m tradewarden.settings --markdown`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tradewarden.settings import pages


def main(arguments: list[str]) -> None:
    """Prints one of the two pages, or writes both into the repository at a folder."""
    parser = argparse.ArgumentParser(prog="python -m tradewarden.settings", description=__doc__)
    wish = parser.add_mutually_exclusive_group(required=True)
    wish.add_argument("--env-example", action="store_true", help="print .env.example")
    wish.add_argument("--markdown", action="store_true", help="print the configuration tables")
    wish.add_argument("--update", type=Path, metavar="ROOT", help="write both files under ROOT")
    chosen = parser.parse_args(arguments)
    if chosen.update is not None:
        pages.update(chosen.update)
    else:
        sys.stdout.write(pages.env_example() if chosen.env_example else pages.markdown())


if __name__ == "__main__":
    main(sys.argv[1:])
