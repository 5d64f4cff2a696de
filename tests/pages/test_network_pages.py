"""VPCs, security groups and floating IPs as people without a script see and use them."""
from ipaddress import IPv4Network

import pytest
from django.urls import reverse

from compute.instances.models import Instance
from compute.instances.networks import Networks
from compute.instances.operations import create_instance
from compute.network import operations
from compute.network.models import Fabric, FloatingIp, Port, SecurityGroup, SecurityGroupRule, Subnet, Vpc
from compute.network.operations.security import DEFAULT_RULES
from portal.kernel.models import Region
from tenants.models import Quota
from tests.network.networked import Networked, settle
from tests.world import drain

LISTS = ["vpcs:list", "vpcs:create", "security_groups:list", "security_groups:create", "floating_ips:list",
         "floating_ips:create"]
NASTY = "<script>alert(1)</script>\"'"


def order(net: Networked, name: str = "web", **networks: object) -> Instance:
    """An instance that has been made."""
    operation = create_instance(net.world.order(name=name, networks=Networks(**networks)), actor=net.world.people["alice"])
    drain()
    settle()
    return Instance.objects.get(pk=operation.target_id)


def placed(net: Networked, **fields: object) -> dict[str, object]:
    return {"project": net.world.project.pk, "region": net.world.region.pk} | fields


def make_vpc(net: Networked, cidr: str = "10.1.0.0/16", name: str = "shop") -> Vpc:
    return operations.create_vpc(net.world.project, net.world.region, name=name, cidr=IPv4Network(cidr), actor=None)


def make_subnet(net: Networked, cidr: str = "10.1.0.0/24", name: str = "lan") -> Subnet:
    return operations.create_subnet(make_vpc(net), name=name, cidr=IPv4Network(cidr), actor=None)


# -- every page --

@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("name", LISTS)
def test_a_page_answers_in_both_languages(networked: Networked, browser, name: str, language: str) -> None:
    order(networked, has_floating_ip=True)
    response = browser("alice", language).get(reverse(name))
    assert response.status_code == 200
    assert f'<html lang="{language}"' in response.content.decode()


def test_in_chinese_the_pages_speak_chinese(networked: Networked, browser) -> None:
    instance = order(networked, has_floating_ip=True)
    client = browser("alice", "zh-hans")
    port = Port.objects.get(domain=instance.pk)
    pages = {reverse("vpcs:detail", args=[port.subnet.vpc_id]): "安全组", reverse("floating_ips:list"): "浮动 IP",
             reverse("security_groups:list"): "安全组", f"{reverse('instances:detail', args=[instance.pk])}?tab=network": "子网"}
    for path, word in pages.items():
        assert word in client.get(path).content.decode(), path


def test_empty_lists_say_what_the_thing_is_for(networked: Networked, browser) -> None:
    for name in ("vpcs:list", "security_groups:list", "floating_ips:list"):
        text = browser("alice").get(reverse(name)).content.decode()
        assert "blank-title" in text and reverse(name.replace("list", "create")) in text
        assert reverse(name.replace("list", "create")) not in browser("vera").get(reverse(name)).content.decode()


def test_a_portal_without_networks_says_so(world, browser) -> None:
    for name in ("vpcs:create", "security_groups:create", "floating_ips:create"):
        assert "No region has networks yet" in browser("alice").get(reverse(name)).content.decode()


def test_names_are_text_wherever_they_are_shown(networked: Networked, browser) -> None:
    instance = order(networked, NASTY, has_floating_ip=True)
    port = Port.objects.get(domain=instance.pk)
    Vpc.objects.update(name=NASTY)
    for path in (reverse("vpcs:list"), reverse("vpcs:detail", args=[port.subnet.vpc_id]), reverse("floating_ips:list"),
                 reverse("ports:security-groups", args=[port.pk]), reverse("instances:detail", args=[instance.pk])):
        text = browser("alice").get(path).content.decode()
        assert "&lt;script&gt;" in text and "<script>alert" not in text, path


# -- VPCs --

def test_a_vpc_comes_with_its_first_subnet(networked: Networked, browser) -> None:
    client = browser("alice")
    page = client.get(reverse("vpcs:create"))
    assert "10.0.0.0/16" in page.content.decode()
    answer = client.post(reverse("vpcs:create"), placed(networked, name="shop", cidr="10.7.0.0/16", subnet_name="lan"))
    vpc = Vpc.objects.get(name="shop")
    assert answer["Location"] == reverse("vpcs:detail", args=[vpc.pk])
    assert str(Subnet.objects.get(vpc=vpc).cidr) == "10.7.0.0/20"


BAD_VPCS = [
    ("cidr", ""), ("cidr", "nonsense"), ("cidr", "10.0.0.1/16"), ("cidr", "8.8.8.0/24"), ("cidr", "10.0.0.0/8"),
    ("cidr", "10.0.0.0/30"), ("cidr", "\0"), ("cidr", "9" * 300), ("name", NASTY), ("name", ""),
    ("subnet_cidr", "10.8.0.0/24"), ("subnet_cidr", "10.7.0.0/30"), ("subnet_cidr", "x"), ("subnet_name", ""),
    ("region", "nonsense"), ("cidr", "::/16")]


def test_a_bad_vpc_is_refused_beside_its_field(networked: Networked, browser) -> None:
    client = browser("alice")
    for field, value in BAD_VPCS:
        form = placed(networked, name="shop", cidr="10.7.0.0/16", subnet_name="lan") | {field: value}
        response = client.post(reverse("vpcs:create"), form)
        assert (response.status_code, list(response.context["form"].errors)) == (400, [field]), value
        assert "field-error" in response.content.decode()
    assert not Vpc.objects.exists() and not Subnet.objects.exists()


def test_an_overlapping_subnet_is_refused_beside_its_range(networked: Networked, browser) -> None:
    subnet = make_subnet(networked)
    path = reverse("vpcs:add-subnet", args=[subnet.vpc_id])
    response = browser("alice").post(path, {"name": "two", "cidr": "10.1.0.128/25"})
    assert response.status_code == 409
    assert "overlaps 10.1.0.0/24 (lan)" in response.content.decode()
    assert list(response.context["form"].errors) == ["cidr"]
    bad = {"name": "two", "cidr": "10.1.2.0/24", "gateway": "10.1.9.1", "dns": "10.1.2.3, 300.1.1.1"}
    assert list(browser("alice").post(path, bad).context["form"].errors) == ["dns"]
    assert list(browser("alice").post(path, bad | {"dns": "10.1.2.3 10.1.2.4"}).context["form"].errors) == ["gateway"]
    good = bad | {"gateway": "10.1.2.254", "dns": "10.1.2.3 10.1.2.4"}
    assert browser("alice").post(path, good)["Location"] == reverse("vpcs:detail", args=[subnet.vpc_id])
    made = Subnet.objects.get(name="two")
    assert (made.gateway, made.dns, made.dhcp) == ("10.1.2.254", ["10.1.2.3", "10.1.2.4"], False)


def test_a_port_is_added_with_the_default_group_ticked_and_an_address_taken_once(networked: Networked, browser) -> None:
    subnet, group = make_subnet(networked), networked.default_group()
    client, path = browser("alice"), reverse("vpcs:add-port", args=[subnet.vpc_id])
    assert f'value="{group.pk}" checked' in client.get(path).content.decode()
    form = {"name": "card", "subnet": subnet.pk, "ip": "10.1.0.9", "security_groups": [group.pk]}
    assert client.post(path, form).status_code == 302
    again = client.post(path, form)
    assert again.status_code == 409 and list(again.context["form"].errors) == ["ip"]
    port = Port.objects.get()
    assert (port.ip, list(port.groups.all())) == ("10.1.0.9", [group])
    assert client.post(reverse("ports:delete", args=[port.pk])).status_code == 200
    assert client.post(reverse("ports:delete", args=[port.pk]), {"confirmed": "1"}).status_code == 302
    assert not Port.objects.live().exists()


def test_a_vpc_is_deleted_by_its_name_and_not_while_ports_are_in_it(networked: Networked, browser) -> None:
    subnet = make_subnet(networked)
    port = operations.create_port(subnet, [], name="card", actor=None)
    client, path = browser("alice"), reverse("vpcs:delete", args=[subnet.vpc_id])
    assert "Type the name" in client.post(path).content.decode()
    assert client.post(path, {"confirmed": "1", "typed_name": "other"}).status_code == 400
    assert client.post(path, {"confirmed": "1", "typed_name": "shop"}).status_code == 409
    assert client.post(reverse("subnets:delete", args=[subnet.pk]), {"confirmed": "1"}).status_code == 409
    assert "disabled" in client.get(reverse("vpcs:detail", args=[subnet.vpc_id])).content.decode()
    operations.delete_port(port, actor=None)
    assert client.post(path, {"confirmed": "1", "typed_name": "shop"})["Location"] == reverse("vpcs:list")
    assert not Vpc.objects.live().exists()


def test_a_vpc_that_the_fabric_does_not_have_yet_is_shown_as_being_changed(networked: Networked, browser) -> None:
    vpc = make_subnet(networked).vpc
    path, client = reverse("vpcs:detail", args=[vpc.pk]), browser("alice")
    text = client.get(path).content.decode()
    assert "Being changed" in text and 'http-equiv="refresh"' in text
    assert "Being changed" in client.get(reverse("vpcs:list"), {"state": "pending"}).content.decode()
    settle()
    text = client.get(path).content.decode()
    assert "Active" in text and 'http-equiv="refresh"' not in text
    assert "Nothing matches" in client.get(reverse("vpcs:list"), {"state": "pending"}).content.decode()
    Vpc.objects.update(revision=99, fault="network_fault")
    assert "Not applied" in client.get(path).content.decode()


# -- security groups --

NAMED = {"ssh": ("tcp", 22), "http": ("tcp", 80), "https": ("tcp", 443), "ping": ("icmp", None), "rdp": ("tcp", 3389),
         "tcp": ("tcp", None), "any": ("any", None)}


def test_rules_are_added_by_name(networked: Networked, browser) -> None:
    group = operations.create_group(networked.world.project, networked.world.region, name="web", actor=None, rules=[])
    here = reverse("security_groups:detail", args=[group.pk])
    for preset in NAMED:
        sent = {"direction": "ingress", "preset": preset, "remote": "anywhere", "protocol": "udp", "port_min": "1"}
        assert browser("alice").post(reverse("security_groups:add-rule", args=[group.pk]), sent)["Location"] == here
    rules = SecurityGroupRule.objects.order_by("created_at")
    assert [(rule.protocol, rule.port_min) for rule in rules] == list(NAMED.values())
    assert all((rule.port_max, rule.remote_cidr, rule.remote_group) == (rule.port_min, None, None) for rule in rules)
    text = browser("vera").get(here).content.decode()
    assert all(f'id="rule-{rule.pk}"' in text for rule in rules)


def test_a_rule_in_numbers_with_a_network_or_a_group(networked: Networked, browser) -> None:
    group = networked.default_group()
    client, path = browser("alice"), reverse("security_groups:add-rule", args=[group.pk])
    custom = {"direction": "egress", "preset": "custom", "protocol": "udp", "port_min": "5000", "port_max": "5010"}
    assert client.post(path, custom | {"remote": "cidr", "remote_cidr": "198.51.100.0/24"}).status_code == 302
    assert client.post(path, custom | {"remote": "group", "remote_group": group.pk}).status_code == 302
    assert client.post(path, custom | {"remote": "cidr", "remote_cidr": "0.0.0.0/0"}).status_code == 302
    text = client.get(reverse("security_groups:detail", args=[group.pk])).content.decode()
    assert "UDP 5000–5010" in text and "198.51.100.0/24" in text
    remotes = {(str(rule.remote_cidr), rule.remote_group_id) for rule in SecurityGroupRule.objects.filter(protocol="udp")}
    assert remotes == {("198.51.100.0/24", None), ("None", group.pk), ("None", None)}


BAD_RULES = [
    ("direction", {"direction": "sideways"}), ("preset", {"preset": "x"}), ("protocol", {"protocol": "gre"}),
    ("protocol", {"protocol": ""}), ("port_min", {"port_min": "0"}), ("port_max", {"port_max": "70000"}),
    ("port_max", {"port_min": "9", "port_max": "5"}), ("port_min", {"protocol": "icmp", "port_min": "5"}),
    ("remote_cidr", {"remote": "cidr"}), ("remote_cidr", {"remote": "cidr", "remote_cidr": "10.0.0.1/8"}),
    ("remote_group", {"remote": "group"}), ("remote_group", {"remote": "group", "remote_group": "x"}),
    ("description", {"description": "x" * 201})]


def test_a_bad_rule_is_refused_beside_its_field(networked: Networked, browser) -> None:
    group, client = networked.default_group(), browser("alice")
    for field, changes in BAD_RULES:
        sent = {"direction": "ingress", "preset": "custom", "protocol": "tcp", "remote": "anywhere"} | changes
        response = client.post(reverse("security_groups:add-rule", args=[group.pk]), sent)
        assert (response.status_code, list(response.context["form"].errors)) == (400, [field]), changes
    assert SecurityGroupRule.objects.count() == len(DEFAULT_RULES)


def test_a_rule_that_is_there_already_is_refused(networked: Networked, browser) -> None:
    group = networked.default_group()
    sent = {"direction": "ingress", "preset": "ssh", "remote": "anywhere"}
    response = browser("alice").post(reverse("security_groups:add-rule", args=[group.pk]), sent)
    assert response.status_code == 409
    assert "has this rule already" in response.content.decode()


def test_a_rule_is_deleted_after_asking(networked: Networked, browser) -> None:
    group = networked.default_group()
    rule = group.rules.get(port_min=22)
    client, path = browser("alice"), reverse("security_group_rules:delete", args=[rule.pk])
    assert "2 seconds" in client.post(path).content.decode()
    assert client.post(path, {"confirmed": "1"})["Location"] == reverse("security_groups:detail", args=[group.pk])
    assert not group.rules.filter(port_min=22).exists()


def test_anybody_knocking_is_mentioned_gently(networked: Networked, browser) -> None:
    group = networked.default_group()
    path = reverse("security_groups:detail", args=[group.pk])
    assert browser("alice").get(path).content.decode().count("Anybody may knock here") == 1
    group.rules.filter(port_min=22).update(remote_cidr=IPv4Network("198.51.100.0/24"))
    assert "Anybody may knock here" not in browser("alice").get(path).content.decode()


def test_a_group_in_use_and_a_default_one_stay(networked: Networked, browser) -> None:
    group = operations.create_group(networked.world.project, networked.world.region, name="web", actor=None)
    operations.create_port(make_subnet(networked), [group], name="card", actor=None)
    client = browser("alice")
    assert "1 port" in client.get(reverse("security_groups:detail", args=[group.pk])).content.decode()
    for one in (group, networked.default_group()):
        assert client.post(reverse("security_groups:delete", args=[one.pk]), {"confirmed": "1"}).status_code == 409
    Port.objects.update(deleted_at="2026-01-01T00:00:00Z")
    assert client.post(reverse("security_groups:delete", args=[group.pk]), {"confirmed": "1"}).status_code == 302


def test_a_viewer_reads_the_rules_and_has_nothing_to_press(networked: Networked, browser) -> None:
    text = browser("vera").get(reverse("security_groups:detail", args=[networked.default_group().pk])).content.decode()
    assert "TCP 22" in text
    assert "add-rule" not in text and "/delete/" not in text


def test_a_new_group_leads_to_its_rules(networked: Networked, browser) -> None:
    answer = browser("alice").post(reverse("security_groups:create"), placed(networked, name="web", description="the shop"))
    group = SecurityGroup.objects.get(name="web")
    assert answer["Location"] == reverse("security_groups:detail", args=[group.pk])
    text = browser("alice").get(answer["Location"]).content.decode()
    assert "Nothing comes in" in text and "the shop" in text


# -- floating IPs --

def test_a_floating_ip_is_allocated_associated_disassociated_and_released(networked: Networked, browser) -> None:
    instance = order(networked)
    client, listing = browser("alice"), reverse("floating_ips:list")
    assert "¥7.30" in client.get(reverse("floating_ips:create")).content.decode()
    assert client.post(reverse("floating_ips:create"), placed(networked))["Location"] == listing
    floating = FloatingIp.objects.get()
    text = client.get(listing).content.decode()
    assert f'data-copy="{floating.address}"' in text and "¥14.60" in text and "Idle" in text
    choose = reverse("floating_ips:associate", args=[floating.pk])
    port = Port.objects.get(domain=instance.pk)
    assert f"web – {port.ip}" in client.get(choose).content.decode()
    assert client.post(choose, {"port": port.pk})["Location"] == listing
    text = client.get(listing).content.decode()
    assert "Associating" in text and 'http-equiv="refresh"' in text
    drain()
    text = client.get(listing).content.decode()
    assert "¥7.30" in text and reverse("instances:detail", args=[instance.pk]) in text
    leave = reverse("floating_ips:disassociate", args=[floating.pk])
    assert "Connections through it end" in client.post(leave).content.decode()
    assert client.post(leave, {"confirmed": "1"})["Location"] == listing
    assert client.post(reverse("floating_ips:release", args=[floating.pk]), {"confirmed": "1"}).status_code == 409
    drain()
    assert client.post(reverse("floating_ips:release", args=[floating.pk]), {"confirmed": "1"})["Location"] == listing
    assert not FloatingIp.objects.live().exists()


def test_only_ports_without_an_address_are_offered(networked: Networked, browser) -> None:
    taken = Port.objects.get(domain=order(networked, "taken", has_floating_ip=True).pk)
    free = Port.objects.get(domain=order(networked, "free").pk)
    floating = operations.allocate_floating_ip(networked.world.project, networked.world.region, actor=None)
    path = reverse("floating_ips:associate", args=[floating.pk])
    text = browser("oscar").get(path).content.decode()
    assert str(free.pk) in text and str(taken.pk) not in text
    refused = browser("oscar").post(path, {"port": taken.pk})
    assert refused.status_code == 400 and "port" in refused.context["form"].errors


def test_a_full_pool_is_said_on_the_form(networked: Networked, browser) -> None:
    networked.pool.last = networked.pool.first
    networked.pool.save()
    client = browser("alice")
    assert client.post(reverse("floating_ips:create"), placed(networked)).status_code == 302
    refused = client.post(reverse("floating_ips:create"), placed(networked))
    assert refused.status_code == 409
    assert "are taken" in refused.content.decode()


def test_a_quota_is_told_in_words(networked: Networked, browser) -> None:
    Quota.objects.create(organization=networked.world.project.organization, region=networked.world.region,
                         dimension="floating_ips", limit=0)
    client = browser("alice")
    assert "bar-bad" in client.get(reverse("floating_ips:create")).content.decode()
    refused = client.post(reverse("floating_ips:create"), placed(networked))
    assert refused.status_code == 409
    assert "for Floating IPs is 0" in refused.content.decode()


def test_floating_ips_are_found_by_address(networked: Networked, browser) -> None:
    for name in ("one", "two"):
        operations.allocate_floating_ip(networked.world.project, networked.world.region, name=name, actor=None)
    first = FloatingIp.objects.get(name="one")
    text = browser("alice").get(reverse("floating_ips:list"), {"name": first.address}).content.decode()
    assert f"floating-ip-{first.pk}" in text and text.count('id="floating-ip-') == 1


# -- ports, from wherever they are seen --

def test_the_groups_of_a_port_are_changed_from_its_instance(networked: Networked, browser) -> None:
    instance = order(networked)
    port = Port.objects.get(domain=instance.pk)
    web = operations.create_group(networked.world.project, networked.world.region, name="web", actor=None)
    client, path = browser("alice"), reverse("ports:security-groups", args=[port.pk])
    tab = f"{reverse('instances:detail', args=[instance.pk])}?tab=network"
    assert path in client.get(tab).content.decode()
    assert client.post(path, {"security_groups": [web.pk]})["Location"] == tab
    assert list(port.groups.all()) == [web]
    foreign = operations.create_group(networked.world.rival_project, networked.world.region, name="x", actor=None)
    refused = client.post(path, {"security_groups": [foreign.pk]})
    assert refused.status_code == 400 and list(port.groups.all()) == [web]
    assert client.post(path, {})["Location"] == tab
    assert "nothing passes" in client.get(tab).content.decode()


def test_a_port_gets_a_new_address_or_an_idle_one(networked: Networked, browser) -> None:
    port = Port.objects.get(domain=order(networked).pk)
    path = reverse("ports:floating-ip", args=[port.pk])
    assert "A new address" in browser("alice").get(path).content.decode()
    assert "A new address" not in browser("oscar").get(path).content.decode()
    assert browser("oscar").post(path, {"floating_ip": ""}).status_code == 400
    assert browser("alice").post(path, {"floating_ip": ""}).status_code == 302
    drain()
    assert FloatingIp.objects.get(port=port).state == "attached"
    again = browser("alice").post(path, {"floating_ip": ""})
    assert again.status_code == 409 and FloatingIp.objects.count() == 1, "what was allocated for it is not kept"


# -- in regions of several kinds --

def test_a_thing_can_be_made_only_where_networks_are(networked: Networked, browser) -> None:
    other = Region.objects.create(slug="dry", name="Dry")
    refused = browser("alice").post(reverse("vpcs:create"), placed(networked, name="a", cidr="10.7.0.0/16", subnet_name="b")
                                    | {"region": other.pk})
    assert refused.status_code == 400 and "region" in refused.context["form"].errors
    Fabric.objects.create(region=other, driver="simulated", uri="simulated:memory/dry")
    assert "Dry" in browser("alice").get(reverse("vpcs:create")).content.decode()
    alone = browser("alice").post(reverse("floating_ips:create"), placed(networked) | {"region": other.pk})
    assert alone.status_code == 409 and "no public addresses" in alone.content.decode()
