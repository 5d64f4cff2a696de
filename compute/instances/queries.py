"""Page-shaped reads of lists of instances: what a line says, and the verbs in its menu. Nothing is decided here."""
from collections.abc import Collection
from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from compute.instances import addresses
from compute.instances.models import Instance
from compute.instances.verbs import Verb, offered


@dataclass(frozen=True, kw_only=True)
class Button:
    """A verb on one instance; `why_not` says why it cannot be pressed."""

    verb: Verb
    url: str
    why_not: str

    @classmethod
    def of(cls, verb: Verb, instance: Instance, user) -> "Button":
        allowed = user.grants.may(verb.permission, instance.project_id)
        why_not = str(verb.why_not(instance)) if allowed else str(_("Your role does not include this."))
        return cls(verb=verb, url=reverse(f"instances:{verb.name}", args=[instance.pk]), why_not=why_not)


def buttons(instance: Instance, user) -> list[Button]:
    return [Button.of(verb, instance, user) for verb in offered(instance)]


@dataclass(frozen=True, kw_only=True)
class Reached:
    """Address and floating IP of every network card."""

    addresses: tuple[tuple[str, str], ...]


def reached(instances: Collection[Instance]) -> list[Reached]:
    """Of a page of instances, in one statement."""
    known = addresses.short(instances)
    return [Reached(addresses=tuple(known.get(instance.pk, ()))) for instance in instances]
