"""Passwords of guests: one may be set when the instance is made, and one of its users may be given another by its agent.

A password is told once, to whoever chose it or had it made, and is kept nowhere: rows, the set-up drive and the host have its
hash (crypt's SHA-512) alone, and that only for as long as it is needed. The first one is set again where a rebuild writes the
disk anew.
"""
from typing import Any

from django.core.validators import RegexValidator
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing import ladder
from compute.hosts.connections import hypervisor
from compute.instances import guarding, steps
from compute.instances.errors import NoGuestAgent
from compute.instances.guests import Guest
from compute.instances.hashing import hashed
from compute.instances.models import Instance, InstanceState
from portal.kernel import audit
from portal.kernel.errors import StateConflict
from portal.kernel.models import Operation
from portal.kernel.operations import Kind, Run, Step, register, submit

PERMISSION = "instance.operate"
KIND = "instance.reset_password"
LONGEST_USER = 32
USUAL_USER = "root"
USER = RegexValidator(r"\A[a-z_][a-z0-9_-]*\Z", gettext_lazy("Small letters, digits, “-” and “_”, a letter first."))


def why_not(instance: Instance) -> str:
    """A sentence why no password can be reset now; empty when it can."""
    if instance.state != InstanceState.RUNNING:
        return _("Only while it runs.")
    if refusal := guarding.refusal(instance, "reset_password"):
        return refusal.detail
    guest = Guest.of(instance)
    return "" if guest is not None and guest.answers else NoGuestAgent(name=instance.name).detail


@transaction.atomic
def reset(instance: Instance, *, user: str, password: str, actor: Any) -> Operation:
    """Give a user of the guest this password. Raises StateConflict, NoGuestAgent, Busy, InstanceLocked and Unpaid."""
    fresh = Instance.objects.select_for_update(of=("self",), no_key=True).select_related(
        "region", "project__organization").get(pk=instance.pk)
    if fresh.state != InstanceState.RUNNING:
        raise StateConflict(state=fresh.state, legal=InstanceState.RUNNING.value)
    guarding.require(fresh, "reset_password")
    ladder.require_paid(fresh.project.organization_id, ladder.STOPPING)
    guest = Guest.of(fresh)
    if guest is None or not guest.answers:
        raise NoGuestAgent(name=fresh.name)
    operation = submit(KIND, region=fresh.region, project=fresh.project, target=fresh, actor=actor,
                       arguments={"user": user, "generation": fresh.generation})
    Instance.objects.filter(pk=fresh.pk).update(next_password_hash=hashed(password))
    audit.record(KIND, fresh, actor=actor, operation=operation, after={"user": user})
    return operation


def set_in_guest(run: Run, instance: Instance) -> None:
    with hypervisor(instance.host, run) as driver:
        driver.set_guest_password(instance.pk, run.arguments["generation"], user=run.arguments["user"],
                                  hashed=instance.next_password_hash)


def _is_set(run: Run) -> dict:
    Instance.objects.filter(pk=run.operation.target_id).update(next_password_hash="")
    return {"instances": [str(run.operation.target_id)], "user": run.arguments["user"]}


def _not_set(run: Run, error: dict) -> None:
    Instance.objects.filter(pk=run.operation.target_id).update(next_password_hash="")


register(Kind(
    name=KIND, label=gettext_lazy("Reset password of guest"),
    step_labels={"password": gettext_lazy("Set the password in the guest")},
    steps=(Step("password", steps.each(set_in_guest)),), succeeded=_is_set, failed=_not_set))
