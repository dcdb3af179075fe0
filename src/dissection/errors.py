"""The one exception that the command line turns into a single line of text."""


class DissectionError(Exception):
    """Something the user can mend: one line that names the file or key, what was expected, what to do."""
