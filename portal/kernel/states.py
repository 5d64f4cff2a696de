"""States: one move table a model, changed only by `move_to`, a compare-and-swap.

In-flight states always have a live operation; settled ones never. What a state meters is declared beside the moves
(`METERS`), and `move_to` alone tells billing, in the same transaction.
"""
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, ClassVar

from django.db import connection, models, transaction
from django.db.models import Func

from portal.kernel import live
from portal.kernel.declarations import Reading, registry
from portal.kernel.errors import StateConflict

CLOCK = Func(function="clock_timestamp", output_field=models.DateTimeField())
"""The same within a statement."""


def database_now():
    """The database's wall clock: the only clock that leases, deadlines and usage know."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def label_of(row: models.Model) -> str:
    """The state in words: `get_state_display()`, which translates the labels of all states anew for each row that asks."""
    return str(_labels(type(row)).get(row.state, row.state))


@cache
def _labels(model: type[models.Model]) -> Mapping[str, Any]:
    return dict(model._meta.get_field("state").flatchoices)


class Stateful(models.Model):
    """A row with a state. `state_changed_at` is the database's clock at the last move."""

    MOVES: ClassVar[dict[str, set[str]]]
    METERED: ClassVar[dict[str, bool]] = {}
    """state → metered (True), free (False); a state that is absent keeps what was metered before."""

    state_changed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True

    @transaction.atomic
    def move_to(self, target: str, **fields: object) -> None:
        """Swap the state (and `fields` with it); raise StateConflict when illegal or when another writer was first."""
        now = database_now()
        old = self.state
        if target not in self.MOVES[old] or not self._swap(target, now, fields):
            self.refresh_from_db(fields=["state"])
            raise StateConflict(state=self.state, target=target)
        self.state, self.state_changed_at = target, now
        for name, value in fields.items():
            setattr(self, name, value)
        for hook in registry.move_hooks:
            hook(self, old, target, now)
        live.touch(self)

    def _swap(self, target: str, now, fields: dict[str, object]) -> bool:
        rows = type(self)._base_manager.filter(pk=self.pk, state=self.state)
        return rows.update(state=target, state_changed_at=now, **fields) == 1

    def meters(self, state: str) -> bool | None:
        """Whether `state` is metered; None keeps what was before."""
        return self.METERED.get(state)

    def readings(self, state: str) -> Iterable[Reading]:
        """What is to be metered in `state`; overridden by what is billed."""
        return ()
