"""The one error that the lab raises; it reads as a sentence to the person at the terminal."""


class LabError(Exception):
    """Something about the lab cannot be made so."""
