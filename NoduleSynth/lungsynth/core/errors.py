"""The one error a user can mend."""


class LungSynthError(Exception):
    """What a user can mend: says which input, what is wrong with it and what is allowed.

    The command line prints it as one line on stderr and exits with status 2; the Slicer
    panel shows it as it is.
    """
