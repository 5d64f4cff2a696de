"""What is said of instances whose power changed without being asked by us, and to whom."""
from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from compute.hosts.drivers.contract import Cause
from compute.instances.models import InstanceState, PowerCause, WatchdogAction
from portal.kernel.declarations import NoticeKind
from tenants.bound import people_who_may
from tenants.models import User

OPERATE = "instance.operate"
FOLLOWED, CRASHED, HALTED = "instance.power_followed", "instance.crashed", "instance.halted"
FIRED, RESTARTED = "instance.watchdog_fired", "instance.restarted"
ACTS = {Cause.CRASH: CRASHED, Cause.STORAGE: HALTED, Cause.WATCHDOG: HALTED}


def act_for(cause: Cause) -> str:
    """What the audit trail calls it."""
    return ACTS.get(cause, FOLLOWED)


def those_who_operate(event: Any) -> QuerySet[User]:
    return people_who_may(OPERATE, event.project.organization_id, event.project.ancestor_ids).people()


def may_hear(user: Any, notice: Any) -> bool:
    return user.grants.may(OPERATE, notice.project_id)


def words(facts: Mapping[str, Any]) -> dict[str, str]:
    labels, causes = dict(InstanceState.choices), dict(PowerCause.choices)
    does = dict(WatchdogAction.choices)
    return {"state": str(labels.get(facts.get("state"), "")), "why": str(causes.get(facts.get("why"), "")),
            "does": str(does.get(facts.get("does"), ""))}


KINDS = (
    NoticeKind(
        name="instance.trouble", label=_("Instances that crash or are halted"),
        hint=_("When a guest dies or hangs, or its host halts it because of its storage or a watchdog."),
        receivers=those_who_operate, may_hear=may_hear, keeps=("state", "why", "does"), words=words, mail="now",
        target_page="instances:detail", acts={
            CRASHED: _("The instance “%(target)s” of %(place)s crashed and is off."),
            HALTED: _("The instance “%(target)s” of %(place)s was halted by its host. %(why)s"),
            FIRED: _("The guest of the instance “%(target)s” of %(place)s hangs: it did not feed its watchdog (which is to: "
                     "%(does)s).")}),
    NoticeKind(
        name="instance.power", label=_("Instances that go on or off by themselves"),
        hint=_("When a guest switches itself off or restarts itself, or somebody changes its power on the host."),
        receivers=those_who_operate, may_hear=may_hear, keeps=("state", "why"), words=words, mail="never",
        target_page="instances:detail", acts={
            FOLLOWED: _("The instance “%(target)s” of %(place)s changed by itself: %(state)s. %(why)s"),
            RESTARTED: _("The guest of the instance “%(target)s” of %(place)s restarted by itself.")}),
)
