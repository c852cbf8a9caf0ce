"""Errors that a user sees as one sentence, each with the exit code of the command line."""

from __future__ import annotations

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_FIT = 3
EXIT_MISSING = 4
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class RigtuiError(Exception):
    """Something failed; the message says what, why and what to do (exit code 1)."""

    exit_code = EXIT_FAILED


class UsageError(RigtuiError):
    """The command, a profile or a file of the user's says something rigtui cannot follow (exit code 2)."""

    exit_code = EXIT_USAGE


class ExistsError(UsageError):
    """Something of this name is there already; it could be replaced."""

    def __init__(self, there: str, otherwise: str = "") -> None:
        """`there`: what is there, for whoever is asked whether to replace it; `otherwise`: what to do instead, for whoever is not."""
        super().__init__(f"{there}; {otherwise}" if otherwise else there)
        self.there = there


class DoesNotFitError(RigtuiError):
    """The model does not fit this rig with what was asked (exit code 3)."""

    exit_code = EXIT_NO_FIT


class MissingError(RigtuiError):
    """An engine or another component is not installed (exit code 4)."""

    exit_code = EXIT_MISSING
