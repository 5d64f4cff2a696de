"""Paying in advance, clicked through in a real browser: the rules of content that it obeys let every step pass."""
import os
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from billing import profiles
from billing.models import Dunning, Payment
from portal.kernel.states import database_now
from tests.billing.conftest import make_shop
from tests.billing.lamps import Shop
from tests.portal_server import serving
from tests.walk.walker import Walker, chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def dry(transactional_db: None, lamps_are_metered: None, settings: Any) -> Shop:
    """Acme pays in advance, has used what it paid, and stands on the first rung."""
    settings.DOORBELLS, settings.PAYMENT_PROVIDER = False, "billing.providers.Simulated"
    shop = make_shop()
    now, organization = database_now(), shop.cast.organization
    profiles.set_profile(organization, actor=shop.cast.root, is_prepaid=True)
    shop.burnt(shop.lamp(), now, None)
    Dunning.objects.create(organization=organization, rung="blocked", cause="empty", began_at=now, since=now, next_at=now)
    return shop


def test_pay_and_go_on(dry: Shop) -> None:
    session = dry.cast.browser("alice").cookies["sessionid"].value
    connection.close()
    shots = Path(os.environ["MAINS_STATE_DIR"]) / "screenshots"
    shots.mkdir(parents=True, exist_ok=True)
    with serving() as address, chromium() as browser:
        walker = Walker(browser, address, session=session, language="en")
        page = walker.page
        page.goto(f"http://{address}/billing/")
        assert "more than what was paid in advance is used since" in page.inner_text("#dunning")
        page.screenshot(path=str(shots / "topup-1-balance.png"))
        page.click("text=Pay in advance >> nth=0")
        page.fill("input[name=amount]", "50")
        page.screenshot(path=str(shots / "topup-2-form.png"))
        page.click("text=Go on to pay")
        page.wait_for_selector("#amount")
        assert page.inner_text("#amount") == "¥50.00"
        page.screenshot(path=str(shots / "topup-3-provider.png"))
        page.click("button:text-is('Pay')")
        page.wait_for_selector("#prepaid")
        assert page.inner_text("#prepaid") == "¥50.00" and page.query_selector("#dunning") is None
        page.screenshot(path=str(shots / "topup-4-paid.png"))
        assert walker.faults == []
    assert Payment.objects.get().amount == 50
