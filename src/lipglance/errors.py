"""The errors a user can cause, each told in one line.

The command line prints the message after ``error:`` and exits with ``exit_code``; a Python caller
catches :class:`LipglanceError`. Everything else that is raised is a bug in lipglance.
"""


class LipglanceError(Exception):
    """Something that the user can put right; the message says what was got, expected and to do."""

    exit_code = 2


class InputError(LipglanceError):
    """A file, array, option or configuration that cannot be used as given."""
