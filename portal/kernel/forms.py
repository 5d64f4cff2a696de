"""Forms with a verb behind them. Shapes are checked in the form; rules live in the verb, and what it refuses is said here."""
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django import forms

from portal.kernel.errors import InvalidInput


class VerbForm(forms.Form):
    """A form whose verb says what is wrong with what was sent."""

    # Where the verb's word for a field is another than the form's.
    CALLED: Mapping[str, str] = {}
    made: Any = None

    def carried_out(self, verb: Callable[[], object]) -> bool:
        """Whether what was sent fits (`cleaned_data`) and the verb did it; what it refuses is said beside the field that it is
        about. Its answer is in `made`."""
        if not self.is_valid():
            return False
        try:
            self.made = verb()
        except InvalidInput as error:
            self.blame(error.errors)
            return False
        return True

    def blame(self, errors: Mapping[str, Iterable[object]]) -> None:
        """Say each beside its field; what is about none is said above the form."""
        for name, texts in errors.items():
            name = self.CALLED.get(name, name)
            self.add_error(name if name in self.fields else None, list(map(str, texts)))

    @property
    def status(self) -> int:
        """The answer's: the form as it was asked for, or with mistakes."""
        return 400 if self.errors else 200
