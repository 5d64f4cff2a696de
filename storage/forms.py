"""What an operator fills in to add a host. Shapes are checked here; rules live in the verb."""
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold import widgets

from compute.hosts.commands.contract import absolute_path
from compute.hosts.models import Endpoint
from portal.kernel.fields import NameField
from portal.kernel.models import Zone
from storage import operations
from storage.models import Pool


class AddHostForm(forms.Form):
    """A name and an SSH address are enough; the rest has defaults that fit."""

    name = NameField(max_length=80, widget=widgets.UnfoldAdminTextInputWidget)
    address = forms.CharField(label=_("SSH address"), required=False, max_length=300, widget=widgets.UnfoldAdminTextInputWidget,
                              help_text=_("For example root@10.99.7.11 or root@rack-1:2222."))
    zone = forms.ModelChoiceField(Zone.objects.none(), label=_("Zone"), empty_label=None, widget=widgets.UnfoldAdminSelectWidget)
    pool_path = forms.CharField(label=_("Pool directory"), required=False, max_length=300,
                                initial=operations.POOL_PATH, widget=widgets.UnfoldAdminTextInputWidget,
                                help_text=_("Where volumes lie on the host; made when it is not there."))
    host_key = forms.CharField(label=_("Host key"), required=False, max_length=4000, widget=widgets.UnfoldAdminTextareaWidget,
                               help_text=_("A known_hosts line, public key or SHA256 fingerprint to compare with. Empty: the key "
                                           "of the first contact is trusted, shown, and checked from then on."))
    reserved_memory_mib = forms.IntegerField(
        label=_("Memory kept for the host (MiB)"), required=False, min_value=0, max_value=2**31 - 1, initial=512,
        widget=widgets.UnfoldAdminIntegerFieldWidget)
    vcpu_ratio = forms.DecimalField(
        label=_("vCPUs per CPU"), required=False, min_value=Decimal("0.01"), max_digits=5, decimal_places=2, initial=4,
        widget=widgets.UnfoldAdminDecimalFieldWidget)

    endpoint = forms.ModelChoiceField(
        Endpoint.objects.none(), label=_("Endpoint"), required=False, widget=widgets.UnfoldAdminSelectWidget,
        help_text=_("In place of an address: one that was set up by hand and has no host yet."))

    ASKED = ("name", "address", "zone")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["zone"].queryset = Zone.objects.select_related("region").order_by("region__name", "name")
        self.fields["zone"].label_from_instance = lambda zone: f"{zone.region.name} / {zone.name}"
        self.only_zone = operations.only_zone()
        if self.only_zone is not None:  # nothing to ask
            self.fields["zone"].required, self.fields["zone"].widget = False, forms.HiddenInput()
        self.fields["endpoint"].queryset = Endpoint.objects.filter(host=None)

    def clean(self) -> dict[str, Any]:
        chosen = super().clean()
        if not self.errors and bool(chosen["address"]) == bool(chosen["endpoint"]):
            self.add_error("address", _("Give an address, or choose an endpoint."))
        return chosen

    @property
    def asked(self) -> list[forms.BoundField]:
        return [self[name] for name in self.ASKED]

    @property
    def further(self) -> list[forms.BoundField]:
        return [field for field in self if field.name not in self.ASKED]

    @property
    def order(self) -> dict[str, Any]:
        """For `operations.add_host`; what was left empty has the verb's own default."""
        chosen = self.cleaned_data | {"zone": self.cleaned_data["zone"] or self.only_zone,
                                      "address": self.cleaned_data["address"] or self.cleaned_data["endpoint"]}
        del chosen["endpoint"]
        return {name: value for name, value in chosen.items() if value not in (None, "")}

    def refuse(self, errors: dict[str, list[str]]) -> None:
        """Errors that the verb found, beside their fields."""
        for name, texts in errors.items():
            self.add_error(name if name in self.fields else None, texts)


class PoolForm(forms.ModelForm):
    """A pool's place on its host, checked before the host is asked to make it."""

    class Meta:
        model = Pool
        fields = ("host", "name", "path", "pool_class")

    def clean_path(self) -> str:
        try:
            return absolute_path(self.cleaned_data["path"].rstrip("/"))
        except ValueError as error:
            raise forms.ValidationError(_("An absolute path such as /var/lib/mains, without spaces.")) from error
