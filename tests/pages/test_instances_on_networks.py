"""How an instance's pages tell where it is reached, and what the create page asks about networks."""
import re
from ipaddress import IPv4Network

from django.urls import reverse

from compute.instances.models import Instance
from compute.instances.operations import create_instance
from compute.network import operations
from compute.network.models import FloatingIp, Port, SecurityGroupRule, Vpc
from tenants import operations as tenants
from tenants.models import Quota
from tenants.roles import bind
from tests.network.networked import Networked
from tests.pages.test_network_pages import order, placed
from tests.world import World, drain


def overview(browser, instance: Instance, who: str = "alice", **query: str) -> str:
    return browser(who).get(reverse("instances:detail", args=[instance.pk]), query).content.decode()


def form_of(net: Networked, **changes: object) -> dict[str, object]:
    world = net.world
    return placed(net, image=world.image.pk, type=world.type.pk, name="web") | changes


# -- how it is reached --

def test_an_instance_with_a_public_address_says_how_to_connect(networked: Networked, browser) -> None:
    instance = order(networked, has_floating_ip=True)
    port = Port.objects.get(domain=instance.pk)
    public = port.floating_ip.address
    text = overview(browser, instance)
    assert f"ssh demo@{public}" in text and f'data-copy="{public}"' in text
    assert f'href="http://{public}/" target="_blank" rel="noopener noreferrer"' in text
    assert port.ip in text and port.mac in text
    assert reverse("vpcs:detail", args=[port.subnet.vpc_id]) in text


def test_what_no_rule_lets_in_is_not_promised(networked: Networked, browser) -> None:
    instance = order(networked, has_floating_ip=True)
    rules = SecurityGroupRule.objects.filter(group=networked.default_group())
    rules.filter(port_min=80).update(port_min=443, port_max=443)
    assert 'href="https://' in overview(browser, instance) and 'href="http://' not in overview(browser, instance)
    rules.filter(direction="ingress").delete()
    text = overview(browser, instance)
    assert "ssh demo@" not in text and "No rule of its security groups lets SSH in" in text and "Open in browser" not in text
    operations.add_rule(networked.default_group(), actor=None, direction="ingress", protocol="any",
                        remote_group=networked.default_group())
    assert "ssh demo@" not in overview(browser, instance), "a rule for other instances opens nothing to the outside"


def test_an_instance_without_a_public_address_says_so(networked: Networked, browser) -> None:
    text = overview(browser, order(networked))
    assert "It has no public address" in text and "ssh demo@" not in text


def test_the_image_says_who_signs_in(networked: Networked, browser) -> None:
    networked.world.image.tags = {"login": "debian"}
    networked.world.image.save()
    instance = order(networked, has_floating_ip=True)
    assert "ssh debian@" in overview(browser, instance)


def test_the_list_shows_addresses(networked: Networked, browser) -> None:
    port = Port.objects.get(domain=order(networked, has_floating_ip=True).pk)
    text = browser("vera").get(reverse("instances:list")).content.decode()
    assert port.ip in text and port.floating_ip.address in text


def test_the_network_tab_is_for_looking_and_for_those_who_may_for_acting(networked: Networked, browser) -> None:
    instance = order(networked)
    port = Port.objects.get(domain=instance.pk)
    actions = {"groups": reverse("ports:security-groups", args=[port.pk]),
               "address": reverse("ports:floating-ip", args=[port.pk])}
    seen = {who: {name for name, path in actions.items() if path in overview(browser, instance, who, tab="network")}
            for who in ("vera", "oscar", "adam")}
    assert seen == {"vera": set(), "oscar": {"address"}, "adam": {"groups", "address"}}


def test_a_region_without_networks_shows_none(world: World, browser) -> None:
    operation = create_instance(world.order(), actor=world.people["alice"])
    drain()
    text = overview(browser, Instance.objects.get(pk=operation.target_id))
    assert "?tab=network" not in text and 'id="connect"' not in text


def test_the_dashboard_counts_addresses(networked: Networked, browser) -> None:
    order(networked, has_floating_ip=True)
    assert "in use, with 1 VPC<" in browser("alice").get("/").content.decode()


# -- the create page --

def test_the_first_instance_is_promised_a_default_network_and_gets_it(networked: Networked, browser) -> None:
    client = browser("alice")
    page = client.get(reverse("instances:create"))
    text = page.content.decode()
    assert "Default network (made with the first instance)" in text and 'name="floating_ip"' in text
    assert page.context["form"]["floating_ip"].value() is True
    summary = client.post(reverse("instances:summary"), form_of(networked, floating_ip="on")).content.decode()
    assert "&quot;floating_ip&quot;: true" in summary and "¥0.37" in summary  # 0.36 + 0.001 + 0.01, rounded
    client.post(reverse("instances:create"), form_of(networked, floating_ip="on"))
    drain()
    port = Port.objects.get()
    assert (port.subnet.vpc.is_default, port.floating_ip.state) == (True, "attached")
    assert [group.is_default for group in port.groups.all()] == [True]


def test_the_default_subnet_and_group_are_chosen_at_first(networked: Networked, browser) -> None:
    subnet, group = networked.default_subnet(), networked.default_group()
    form = browser("alice").get(reverse("instances:create")).context["form"]
    assert (form["subnets"].value(), form["security_groups"].value()) == ([str(subnet.pk)], [str(group.pk)])


def test_an_instance_is_put_where_it_was_asked_for(networked: Networked, browser) -> None:
    vpc = operations.create_vpc(networked.world.project, networked.world.region, name="shop", cidr=IPv4Network("10.5.0.0/16"),
                                actor=None)
    subnet = operations.create_subnet(vpc, name="lan", cidr=IPv4Network("10.5.0.0/24"), actor=None)
    group = operations.create_group(networked.world.project, networked.world.region, name="web", actor=None)
    client = browser("alice")
    assert '<div class="sub">shop – 10.5.0.0/16</div>' in client.get(reverse("instances:create")).content.decode()
    client.post(reverse("instances:create"), form_of(networked, subnets=subnet.pk, security_groups=[group.pk]))
    port = Port.objects.get()
    assert (port.subnet, list(port.groups.all()), FloatingIp.objects.count()) == (subnet, [group], 0)


BAD_WISHES = [("count", "0"), ("count", "21"), ("count", "many"), ("subnets", "x"), ("security_groups", "x"),
              ("subnets", "00000000-0000-0000-0000-000000000000")]


def test_bad_network_wishes_name_their_field(networked: Networked, browser) -> None:
    client = browser("alice")
    for field, value in BAD_WISHES:
        response = client.post(reverse("instances:create"), form_of(networked, **{field: value}))
        assert (response.status_code, list(response.context["form"].errors)) == (400, [field]), value
    assert not Instance.objects.exists() and not Vpc.objects.exists()


def test_several_at_once_are_numbered_and_lead_to_the_list(networked: Networked, browser) -> None:
    client = browser("alice")
    answer = client.post(reverse("instances:create"), form_of(networked, count="3", floating_ip="on"))
    assert answer["Location"] == reverse("instances:list")
    assert "3 instances are being made" in client.get(answer["Location"]).content.decode()
    drain()
    assert set(Instance.objects.values_list("name", "state")) == {(f"web-{n}", "running") for n in (1, 2, 3)}
    assert FloatingIp.objects.filter(state="attached").count() == 3


def test_the_summary_counts_all_of_them(networked: Networked, browser) -> None:
    client, path = browser("alice"), reverse("instances:summary")
    text = client.post(path, form_of(networked, count="10", floating_ip="on")).content.decode()
    assert "¥3.71" in text and "× 10" in text
    assert '&quot;count&quot;: 10' in text and '&quot;floating_ip&quot;: true' in text
    one = client.post(path, form_of(networked)).content.decode()
    assert "¥0.36" in one and "&quot;count&quot;" not in one


def test_too_many_for_the_hosts_is_said_before_it_is_tried(networked: Networked, browser) -> None:
    networked.world.host.memory_mib = networked.world.host.reserved_memory_mib + 3 * 256
    networked.world.host.save()
    client, path = browser("alice"), reverse("instances:summary")
    assert "There is no room" not in client.post(path, form_of(networked, count="3")).content.decode()
    assert "There is no room for all 4 of them" in client.post(path, form_of(networked, count="4")).content.decode()


def test_the_address_is_not_preselected_when_the_quota_has_none_left(networked: Networked, browser) -> None:
    Quota.objects.create(project=networked.world.project, region=networked.world.region, dimension="floating_ips", limit=0)
    page = browser("alice").get(reverse("instances:create"))
    assert page.context["form"]["floating_ip"].value() is False
    refused = browser("alice").post(reverse("instances:create"), form_of(networked, floating_ip="on"))
    assert refused.status_code == 409 and "for Floating IPs is 0" in refused.content.decode()


def test_what_the_region_cannot_offer_is_not_asked(world: World, browser) -> None:
    text = browser("alice").get(reverse("instances:create")).content.decode()
    assert not re.search(r'name="(subnets|security_groups|floating_ip)"', text)


def test_without_a_public_network_no_address_is_asked_for(networked: Networked, browser) -> None:
    networked.pool.is_open = False
    networked.pool.save()
    networked.default_subnet()
    text = browser("alice").get(reverse("instances:create")).content.decode()
    assert 'name="subnets"' in text and 'name="floating_ip"' not in text and "the region has no public network" in text


def test_another_project_brings_its_own_networks_into_the_form(networked: Networked, browser) -> None:
    world = networked.world
    other = tenants.create_project(world.project.organization, "second", actor=world.people["alice"])
    bind(world.people["adam"], "admin", other)
    subnet = networked.default_subnet()
    form = form_of(networked, project=other.pk, subnets=subnet.pk, security_groups=[networked.default_group().pk], preview="1")
    page = browser("adam").post(reverse("instances:create"), form)
    assert page.status_code == 200 and not Instance.objects.exists()
    shown = page.context["form"]
    theirs = Vpc.objects.get(project=other)
    assert shown["subnets"].value() == [str(theirs.subnets.get().pk)] and not shown.errors
