"""What people are told of operations, by the bell and by mail."""
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import NoticeKind
from portal.kernel.models import Operation
from portal.notices.models import How, Preferences
from tenants.models import User

OWN, FAILED = "operation.own", "operation.failed"
State = Operation.State


def choosing(kind: str) -> QuerySet[User]:
    """Whoever wants mails of the kind, which nobody gets who did not choose: few."""
    chosen = Preferences.objects.filter(mails__has_key=kind).exclude(mails__contains={kind: How.NEVER})
    return User.objects.filter(pk__in=chosen.values("user"), is_active=True)


def whose(operation: Operation) -> QuerySet[User]:
    return choosing(OWN).filter(pk=operation.actor_id)


def who_asked_for_it(operation: Operation) -> QuerySet[User]:
    """Of failures anywhere: whether they may see this one is asked before it is told."""
    return choosing(FAILED)


def sees_operation(user: Any, notice: Any) -> bool:
    return notice.project_id is not None and user.grants.may("operation.view", notice.project_id)


KINDS = (
    NoticeKind(name=OWN, label=_("My operations"), hint=_("How what I began has ended."), rings=True, page="operations:list",
               endings=frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED}), receivers=whose, may_hear=sees_operation),
    NoticeKind(name=FAILED, label=_("Failures in my projects"), hint=_("Whoever began it."), rings=True, page="operations:list",
               endings=frozenset({State.FAILED}), receivers=who_asked_for_it, may_hear=sees_operation),
)
