"""Why a schedule is not carried out: the codes that runs keep, and their words. Who is asked for what is in `verbs`."""
from typing import Any

from django.utils.translation import gettext_lazy as _

LEFT, NO_RIGHT, GONE, SLEPT = "owner_left", "no_right", "instance_gone", "too_late"
REASONS: dict[str, Any] = {
    LEFT: _("Nobody is left in whose name it acts."), NO_RIGHT: _("Its owner may not operate instances there any more."),
    GONE: _("The instance is gone."), SLEPT: _("It was too late when the portal came to it.")}
