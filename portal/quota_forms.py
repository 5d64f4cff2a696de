"""Forms about quotas: limits of one scope in one region, asking for more, answering."""
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from compute.network.forms import VerbForm
from portal.kernel.declarations import registry
from portal.kernel.models import Region
from portal.people_forms import MOST_OFFERED, ScopeField
from tenants.limits import LARGEST, Limit, Scope
from tenants.models import Organization, Project, Quota, User
from tenants.quota_requests import ASK
from tenants.quotas import Line


class LimitsForm(VerbForm):
    """Each dimension's limit in one region; empty for none of its own."""

    def __init__(self, *args: Any, lines: list[Line], own: dict[str, int | None], plan: dict[str, int], **kwargs: Any) -> None:
        super().__init__(*args, initial=own, **kwargs)
        for line in lines:
            declared = registry.dimensions[line.resource]
            label = f"{declared.label} ({declared.unit})" if declared.unit else declared.label
            hint = _("%(used)s are used.") % {"used": line.used}
            if line.resource in plan:
                hint = f"{hint} " + _("The plan says %(limit)s.") % {"limit": plan[line.resource]}
            self.fields[line.resource] = forms.IntegerField(
                label=label, required=False, min_value=0, max_value=LARGEST, help_text=hint)

    def limits(self, region: Region | None) -> list[Limit]:
        """Those that were changed."""
        chosen = self.cleaned_data
        return [Limit(resource=name, region=region, limit=chosen[name], is_default=chosen[name] is None)
                for name in self.changed_data]


def own_limits(scope: Scope, region: Region | None) -> dict[str, int | None]:
    owner = {"organization": scope} if isinstance(scope, Organization) else {"project": scope}
    return dict(Quota.objects.filter(**owner, region=region).values_list("dimension", "limit"))


class QuotaRequestForm(VerbForm):
    """What more is needed of, where, and why."""

    scope = ScopeField(label=_("For"))
    resource = forms.ChoiceField(label=_("Resource"))
    region = forms.ModelChoiceField(Region.objects.order_by("name", "pk"), label=_("Region"), required=False,
                                    empty_label=_("all regions"))
    wanted = forms.IntegerField(label=_("Wanted limit"), min_value=1, max_value=LARGEST,
                                help_text=_("The whole limit that you need, not how much more."))
    reason = forms.CharField(label=_("Reason"), max_length=500, help_text=_("Whoever decides reads it."))

    def __init__(self, *args: Any, user: User, scope: str = "", resource: str = "", region: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = askable(user)
        self.fields["scope"].offer(found)
        self.fields["resource"].choices = [(name, declared.label) for name, declared in registry.dimensions.items()]
        regions = list(self.fields["region"].queryset)
        chosen = next((one for one in regions if region == str(one.pk)), regions[0] if len(regions) == 1 else None)
        is_regional = resource not in registry.dimensions or registry.dimensions[resource].regional
        named = next((f"{one._meta.model_name}:{one.pk}" for one in found if str(one.pk) == scope), None)
        self.initial = {"scope": named, "resource": resource, "region": chosen if is_regional else None} | self.initial

    @property
    def asked(self) -> dict[str, Any]:
        """For `tenants.quota_requests.ask`."""
        chosen = self.cleaned_data
        return {"scope": chosen["scope"], "dimension": chosen["resource"], "region": chosen["region"], "wanted": chosen["wanted"],
                "reason": chosen["reason"]}


def askable(user: User) -> list[Scope]:
    """The organizations and projects for which the user asks."""
    wide = [pk for pk, names in user.grants.organization_wide.items() if ASK in names]
    organizations = Organization.objects.visible_to(user)
    if not user.grants.sees_everything:
        organizations = organizations.filter(pk__in=wide)
    projects = Project.objects.visible_to(user, ASK).select_related("organization").order_by("organization__name", "name", "pk")
    return [*organizations.order_by("name", "pk")[:MOST_OFFERED], *projects[:MOST_OFFERED]]


class GrantForm(VerbForm):
    """What is given, and a word to it."""

    granted = forms.IntegerField(label=_("New limit"), min_value=1, max_value=LARGEST)
    answer = forms.CharField(label=_("Answer"), max_length=500, required=False)


class RefuseForm(VerbForm):
    """Why not."""

    answer = forms.CharField(label=_("Reason"), max_length=500, help_text=_("Whoever asked reads it."))
