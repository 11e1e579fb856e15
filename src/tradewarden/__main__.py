"""`python -m tradewarden`: the command line, for callers that know an interpreter and no PATH (git hooks)."""

from tradewarden.cli import main

if __name__ == "__main__":
    main()
