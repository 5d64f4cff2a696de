"""The summary beside the create form is asked for at every change: it asks the database no more often than a page does."""
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from portal.kernel import remembered
from tenants.models import Quota
from tests.network.networked import Networked
from tests.pages.test_instances_on_networks import form_of
from tests.signup.test_trial_credit import on_trial

MOST = 12


@pytest.mark.parametrize(("is_on_trial", "has_subnet"), [(False, True), (True, True), (True, False)])
def test_the_summary_asks_no_more_than_a_page(networked: Networked, browser, is_on_trial: bool, has_subnet: bool) -> None:
    world, path = networked.world, reverse("instances:summary")
    Quota.objects.create(project=world.project, region=world.region, dimension="instances", limit=10)
    if is_on_trial:
        on_trial(world, "5")
    subnet = [networked.default_subnet().pk] if has_subnet else []
    client, sent = browser("alice"), form_of(networked, floating_ip="on", tags="team: red", subnets=subnet)
    remembered.forget()
    client.post(path, sent)  # what stands for some seconds in this process stands now, as while somebody fills in the form
    sent["name"], sent["root_disk_gib"] = "other", "7"  # something else is asked for
    with CaptureQueriesContext(connection) as captured:
        text = client.post(path, sent).content.decode()
    assert "There is room for this now." in text
    asked = [one["sql"] for one in captured.captured_queries
             if not one["sql"].startswith(("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT"))]
    assert len(asked) <= MOST, "\n".join([str(len(asked)), *(one[:240] for one in asked)])
