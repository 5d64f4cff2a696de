"""Making, changing and deleting budgets. The caller has checked access; whether the actor may have things stopped is asked here,
of the budget as it is when it is changed. What one is of stays: another is another budget.
"""
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from billing import issuing
from billing.budgets import stopping
from billing.models import Budget, PriceBook
from portal.kernel import audit
from portal.kernel.errors import InvalidInput, NotFound
from portal.kernel.names import LONGEST, NAME_RULE, are_tags, is_name
from portal.kernel.operations.doorbell import ring_task
from portal.kernel.states import database_now
from tenants.models import Organization, Project
from tenants.standing import lock_organization, require_open

WATCH = "billing.watch_budgets"
MOST_BUDGETS, MOST_THRESHOLDS, MOST_PERCENT = 100, 10, 1000
CHANGED = ("name", "amount", "currency", "thresholds")
KEYS = {"percent", "basis", "actions"}
USUAL = [{"percent": 80, "basis": "actual", "actions": ["notify"]}, {"percent": 100, "basis": "forecast", "actions": ["notify"]}]
"""What a budget has where nobody says anything else."""


@transaction.atomic
def create_budget(organization: Organization, *, actor: Any, name: str, amount: Decimal, currency: str,
                  thresholds: list[dict[str, Any]] | None = None, project: Project | None = None, tag_key: str = "",
                  tag_value: str = "") -> Budget:
    """A budget of the whole organization, or of one of its projects with what stands below it, or of what bears a tag.

    Raises InvalidInput naming what is wrong, ProjectArchived or NotFound for a project that is, Forbidden (`stopping`).
    """
    thresholds = USUAL if thresholds is None else thresholds
    issuing.check(tag=_wrong_tag(tag_key, tag_value, project), project=_wrong_project(organization, project),
                  **_wrong(name=name, amount=amount, currency=currency, thresholds=thresholds))
    stopping.require_new(actor, project or organization, thresholds)
    if project is not None:
        require_open(project)
    lock_organization(organization.pk)
    if Budget.objects.living().filter(organization=organization).count() >= MOST_BUDGETS:
        raise InvalidInput.field("organization", _("An organization has at most %(most)s budgets.") % {"most": MOST_BUDGETS})
    budget = Budget.objects.create(organization=organization, project=project, tag_key=tag_key, tag_value=tag_value, name=name,
                                   amount=amount, currency=currency, thresholds=_in_order(thresholds))
    audit.record("budget.create", budget, actor=actor, after=_facts(budget, CHANGED))
    ring_task(WATCH, settings.CELERY_TASK_DEFAULT_QUEUE)
    return budget


@transaction.atomic
def change_budget(budget: Budget, *, actor: Any, **values: Any) -> Budget:
    """Change some of CHANGED. From now on that holds: an alarm of another amount blocks nothing any more. Raises InvalidInput, or
    Forbidden (`stopping`)."""
    budget = _locked(budget)
    issuing.check(**_wrong(**values))
    if "thresholds" in values:
        values["thresholds"] = _in_order(values["thresholds"])
    stopping.require_change(actor, budget, values)
    changed = [name for name in CHANGED if name in values and getattr(budget, name) != values[name]]
    if not changed:
        return budget
    before = _facts(budget, changed)
    for name in changed:
        setattr(budget, name, values[name])
    if "currency" in changed:
        budget.spent = budget.forecast = Decimal(0)
        budget.counted_at = None
    budget.save(update_fields=[*changed, "spent", "forecast", "counted_at", "updated_at"])
    audit.record("budget.change", budget, actor=actor, before=before, after=_facts(budget, changed))
    ring_task(WATCH, settings.CELERY_TASK_DEFAULT_QUEUE)
    return budget


@transaction.atomic
def delete_budget(budget: Budget, *, actor: Any) -> None:
    """Nothing is watched, refused or stopped by it any more. Its row stays, for its alarms."""
    budget = _locked(budget)
    budget.deleted_at = database_now()
    budget.save(update_fields=["deleted_at", "updated_at"])
    audit.record("budget.delete", budget, actor=actor, before=_facts(budget, CHANGED))


def end_with_project(project: Project, actor: Any) -> None:
    """A project that is deleted takes its budgets with it."""
    for budget in Budget.objects.living().filter(project=project).order_by("pk"):
        delete_budget(budget, actor=actor)


def _locked(budget: Budget) -> Budget:
    rows = Budget.objects.living().select_related("organization", "project").select_for_update(no_key=True, of=("self",))
    found = rows.filter(pk=budget.pk).first()
    if found is None:
        raise NotFound
    return found


def _facts(budget: Budget, names: Any) -> dict[str, Any]:
    return {name: getattr(budget, name) for name in names}


def _in_order(thresholds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As they are kept: each with its actions in the order of the words, the least first."""
    rows = [{"percent": one["percent"], "basis": one["basis"],
             "actions": [action for action in Budget.Action.values if action in one["actions"]]} for one in thresholds]
    return sorted(rows, key=lambda row: (row["percent"], row["basis"]))


# -- what is wrong with what was entered --

def _wrong(**values: Any) -> dict[str, list[Any]]:
    return {name: CHECKS[name](value) for name, value in values.items() if name in CHECKS}


def _wrong_name(name: str) -> list[Any]:
    return [] if name.strip() and len(name) <= LONGEST and is_name(name) else [NAME_RULE]


def _wrong_currency(currency: str) -> list[Any]:
    known = sorted(PriceBook.objects.order_by().values_list("currency", flat=True).distinct())
    if currency in known:
        return []
    return [_("Nothing has prices in this currency. One of: %(known)s.") % {"known": ", ".join(known) or "–"}]


def _wrong_tag(key: str, value: str, project: Project | None) -> list[Any]:
    if not key:
        return [_("A value needs a key.")] if value else []
    if project is not None:
        return [_("Either a project or a tag.")]
    return [] if are_tags({key: value}) else [_("A key of up to 60 characters without a colon, and a value of up to 200.")]


def _wrong_project(organization: Organization, project: Project | None) -> list[Any]:
    is_foreign = project is not None and project.organization_id != organization.pk
    return [_("This project is of another organization.")] if is_foreign else []


def _wrong_thresholds(thresholds: Any) -> list[Any]:
    if not isinstance(thresholds, list) or not 1 <= len(thresholds) <= MOST_THRESHOLDS:
        return [_("1 to %(most)s thresholds.") % {"most": MOST_THRESHOLDS}]
    if not all(map(_is_threshold, thresholds)):
        return [_("Each has a percent from 1 to %(most)s, a basis (actual or forecast) and one or more of the actions notify, "
                  "block and stop.") % {"most": MOST_PERCENT}]
    if len({(one["percent"], one["basis"]) for one in thresholds}) < len(thresholds):
        return [_("The same percent of the same basis stands there twice.")]
    return []


def _is_threshold(one: Any) -> bool:
    if not isinstance(one, dict) or set(one) != KEYS:
        return False
    percent, actions = one["percent"], one["actions"]
    return (type(percent) is int and 1 <= percent <= MOST_PERCENT and one["basis"] in Budget.Basis.values
            and isinstance(actions, list) and bool(actions) and all(action in Budget.Action.values for action in actions))


CHECKS: dict[str, Callable[[Any], list[Any]]] = {
    "name": _wrong_name, "amount": issuing.wrong_amount, "currency": _wrong_currency, "thresholds": _wrong_thresholds}
