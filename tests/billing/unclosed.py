"""A month that two organizations have used and nobody has closed, and a printer that fails one of them."""
from typing import Any

import pytest

from billing import closing
from billing.models import Issuer
from tests.billing.lamps import BIG, Shop
from tests.billing.months import HOUR, october


def used_october(shop: Shop) -> Shop:
    """October: Acme used 1,800.00, Rival 3.60; nobody's is closed."""
    Issuer.objects.create(pk=1, name="Waterworks")
    shop.burnt(shop.lamp(), october(1), october(1) + 500 * HOUR, reading=BIG)
    shop.burnt(shop.lamp("theirs", project=shop.cast.rival_project), october(2), october(2, 10))
    return shop


def out_of_paper(monkeypatch: pytest.MonkeyPatch, organization: Any) -> None:
    """Closing fails for this organization alone."""
    real = closing.months.statements.write_lines

    def fails(pk: Any, *rest: Any) -> Any:
        if pk == organization.pk:
            raise RuntimeError("out of paper")
        return real(pk, *rest)

    monkeypatch.setattr(closing.months.statements, "write_lines", fails)
