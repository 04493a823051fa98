"""Named checks, each of which is run whatever became of those before it."""

import sys
import traceback

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def run_all(call):
    """Ends the program: with 1 if `call` of any check failed."""
    failed = 0
    for function in CHECKS:
        try:
            call(function)
            print(f"ok {function.__name__}", file=sys.stderr)
        except Exception:
            traceback.print_exc(limit=3)
            print(f"FAILED {function.__name__}", file=sys.stderr)
            failed += 1
    sys.exit(1 if failed else 0)
