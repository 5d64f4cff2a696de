"""What a rival, a member with few rights, and somebody who sends hostile input ask by REST and on pages, and what they get."""
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from compute.hosts.models import Endpoint, Host
from compute.instances.models import Instance
from compute.instances.networks import Networks
from compute.instances.operations import create_instance
from compute.network.models import Allocation, FloatingIp, Port, SecurityGroupRule, Vpc
from portal.kernel.models import AuditEvent, Operation, Resource
from tenants import operations as tenants
from tenants.models import Quota
from tests.network.networked import API, Networked
from tests.world import drain


def placed(net: Networked, **changes: Any) -> Operation:
    return create_instance(net.world.order(**changes), actor=net.world.people["alice"])


def running(net: Networked, **changes: Any) -> Instance:
    operation = placed(net, **changes)
    drain()
    operation.refresh_from_db()
    assert operation.state == "succeeded", operation.error
    return Instance.objects.get(pk=operation.target_id)


# -- other people's things --

@pytest.fixture
def ours(net: Networked) -> dict[str, str]:
    """One of each of the first organization's."""
    instance = running(net, networks=Networks(has_floating_ip=True))
    port = Port.objects.select_related("subnet").get(domain=instance.pk)
    loose = net.port(str(port.subnet_id))
    group = net.default_group()
    return {"instance": str(instance.pk), "port": str(port.pk), "loose": loose["id"], "subnet": str(port.subnet_id),
            "vpc": str(port.subnet.vpc_id), "group": str(group.pk), "mac": port.mac, "ip": port.ip,
            "rule": str(SecurityGroupRule.objects.filter(group=group).first().pk),
            "floating": str(FloatingIp.objects.get().pk), "address": Allocation.objects.get(
                resource=FloatingIp.objects.get().pk).address}


def alike(got: Any, absent: Any, name: str, other: str) -> None:
    """Answered as for what is not there at all."""
    def said(response: Any) -> Any:
        return {key: value for key, value in response.json().items() if key != "request_id"}

    assert (got.status_code, said(got)) == (absent.status_code, said(absent)), (name, other)
    assert got.status_code == 404 or "errors" in got.json()


def test_a_rival_naming_our_ids_is_told_what_she_is_told_of_nothing(net: Networked, ours: dict, order: Callable,
                                                                     theirs: dict) -> None:
    hers = theirs | {"name": "x"}
    vpc = net.made("vpcs", hers, by="mallory")["id"]
    subnet = net.made("subnets", {"vpc": vpc, "name": "x", "cidr": "10.0.0.0/24"}, by="mallory")["id"]
    group = net.made("security-groups", hers, by="mallory")["id"]
    floating = net.made("floating-ips", theirs, by="mallory")["id"]
    instance = order(**theirs)
    bodies = [
        ("instances", lambda pk: instance | {"subnets": [pk]}, "subnet"),
        ("instances", lambda pk: instance | {"ports": [pk]}, "loose"),
        ("instances", lambda pk: instance | {"security_groups": [pk]}, "group"),
        ("instances", lambda pk: instance | {"project": pk}, "project"),
        ("subnets", lambda pk: {"vpc": pk, "name": "x", "cidr": "10.0.9.0/24"}, "vpc"),
        ("ports", lambda pk: {"subnet": pk, "name": "x"}, "subnet"),
        ("ports", lambda pk: {"subnet": subnet, "name": "x", "security_groups": [pk]}, "group"),
        ("security-group-rules", lambda pk: {"security_group": pk, "direction": "ingress", "protocol": "tcp"}, "group"),
        ("security-group-rules",
         lambda pk: {"security_group": group, "direction": "ingress", "protocol": "tcp", "remote_group": pk}, "group"),
        (f"floating-ips/{floating}/actions/associate", lambda pk: {"port": pk}, "loose"),
        (f"floating-ips/{floating}/actions/associate", lambda pk: {"instance": pk}, "instance"),
        ("vpcs", lambda pk: hers | {"project": pk}, "project"),
        ("floating-ips", lambda pk: theirs | {"project": pk}, "project"),
    ]
    known = ours | {"project": str(net.world.project.pk)}
    for path, body, what in bodies:
        nobody = str(uuid4())
        got, absent = (net.post(path, body(pk), by="mallory") for pk in (known[what], nobody))
        alike(got, absent, path, what)
    client = net.api("mallory")
    for path, what in (("vpcs", "vpc"), ("subnets", "subnet"), ("ports", "port"), ("security-groups", "group"),
                       ("security-group-rules", "rule"), ("floating-ips", "floating"), ("instances", "instance")):
        for send in (client.get, client.delete, lambda url: client.patch(url, {"name": "x"}, format="json")):
            if path == "security-group-rules" and send not in (client.get, client.delete):
                continue
            assert send(f"{API}/{path}/{ours[what]}/").status_code == 404
    for action in ("associate", "disassociate"):
        assert net.post(f"floating-ips/{ours['floating']}/actions/{action}", {}, by="mallory").status_code == 404


def test_filters_by_our_ids_find_a_rival_nothing(net: Networked, ours: dict) -> None:
    asked = {
        "vpcs": {"name": "default", "project": str(net.world.project.pk)}, "subnets": {"vpc": ours["vpc"]},
        "ports": {"vpc": ours["vpc"], "subnet": ours["subnet"], "instance": ours["instance"], "security_group": ours["group"],
                  "ip": ours["ip"], "mac": ours["mac"]},
        "floating-ips": {"port": ours["port"], "instance": ours["instance"], "address": ours["address"]},
        "security-group-rules": {"security_group": ours["group"], "remote_group": ours["group"]},
    }
    hers = str(net.world.rival_project.pk)
    for path, filters in asked.items():
        for name, value in filters.items():
            found = net.get(path, by="mallory", **{name: value})
            rows = found.json()["results"]
            assert found.status_code == 200 and all(row.get("project") == hers for row in rows), (path, name)
        assert net.listed(path, by="vera"), path


def test_a_rivals_pages_are_not_there(net: Networked, ours: dict) -> None:
    client = Client()
    client.force_login(net.world.people["mallory"])
    for url in (f"/vpcs/{ours['vpc']}/", f"/security-groups/{ours['group']}/", f"/instances/{ours['instance']}/"):
        assert client.get(url).status_code == 404, url
    for url in ("/vpcs/", "/floating-ips/", "/security-groups/"):
        text = client.get(url).content.decode()
        assert not any(ours[name] in text for name in ("vpc", "floating", "group", "address")), url


def test_a_key_of_one_project_reaches_nothing_of_its_sibling(net: Networked, ours: dict, order: Callable) -> None:
    world = net.world
    sibling = tenants.create_project(world.project.organization, "lab", actor=None)
    _key, secret = tenants.create_api_key(world.people["alice"], name="ci", actor=None, project=sibling)
    client = net.api(None)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    for path, what in (("vpcs", "vpc"), ("subnets", "subnet"), ("ports", "port"), ("security-groups", "group"),
                       ("floating-ips", "floating"), ("instances", "instance")):
        assert client.get(f"{API}/{path}/{ours[what]}/").status_code == 404, path
    body = order(project=str(sibling.pk))
    for further in ({"subnets": [ours["subnet"]]}, {"ports": [ours["loose"]]}, {"security_groups": [ours["group"]]}):
        assert client.post(f"{API}/instances/", body | further, format="json").status_code == 404, further


def test_alice_herself_does_not_mix_projects(net: Networked, ours: dict, order: Callable) -> None:
    """Who may see both projects still joins nothing across them."""
    sibling = tenants.create_project(net.world.project.organization, "lab", actor=None)
    scope = {"project": str(sibling.pk), "region": str(net.world.region.pk)}
    floating = net.made("floating-ips", scope)["id"]
    answers = [net.post(f"floating-ips/{floating}/actions/associate", {"port": ours["loose"]}),
               net.post(f"floating-ips/{floating}/actions/associate", {"instance": ours["instance"]}),
               net.post("instances", order(**scope, subnets=[ours["subnet"]])),
               net.post("instances", order(**scope, ports=[ours["loose"]])),
               net.post("instances", order(**scope, security_groups=[ours["group"]]))]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(400, "invalid")}


# -- members with few rights --

def test_operators_move_addresses_and_viewers_nothing(net: Networked, ours: dict, order: Callable) -> None:
    spare = net.floating_ip()["id"]
    rule = {"security_group": ours["group"], "direction": "ingress", "protocol": "any"}
    refused = [("vpcs", net.scope | {"name": "x"}), ("subnets", {"vpc": ours["vpc"], "name": "x", "cidr": "10.0.99.0/24"}),
               ("ports", {"subnet": ours["subnet"], "name": "x"}), ("floating-ips", net.scope),
               ("security-groups", net.scope | {"name": "x"}), ("security-group-rules", rule),
               ("instances", order(floating_ip=True))]
    for who in ("oscar", "vera"):
        for path, body in refused:
            assert net.post(path, body, by=who).status_code == 403, (who, path)
        client = net.api(who)
        assert client.patch(f"{API}/ports/{ours['loose']}/", {"security_groups": []}, format="json").status_code == 403
        for path, what in (("vpcs", "vpc"), ("ports", "loose"), ("floating-ips", "floating"), ("security-group-rules", "rule")):
            assert client.delete(f"{API}/{path}/{ours[what]}/").status_code == 403, (who, path)
    assert net.post(f"floating-ips/{spare}/actions/associate", {"port": ours["loose"]}, by="vera").status_code == 403
    assert net.post(f"floating-ips/{spare}/actions/associate", {"port": ours["loose"]}, by="oscar").status_code == 202


def test_pages_refuse_what_the_api_refuses(net: Networked, ours: dict) -> None:
    client, spare = Client(), FloatingIp.objects.get(pk=net.floating_ip()["id"])
    client.force_login(net.world.people["oscar"])
    refused = [reverse("vpcs:delete", args=[ours["vpc"]]), reverse("floating_ips:release", args=[spare.pk]),
               reverse("security_groups:delete", args=[ours["group"]])]
    for url in refused:
        assert client.post(url, {"confirmed": "yes", "name": "default"}).status_code in (403, 404), url
    assert Vpc.objects.live().filter(pk=ours["vpc"]).exists() and FloatingIp.objects.live().filter(pk=spare.pk).exists()


def test_a_key_for_instances_alone_takes_no_address_and_no_foreign_port(net: Networked, ours: dict, order: Callable) -> None:
    _key, secret = tenants.create_api_key(net.world.people["alice"], name="ci", actor=None, scopes=["instance.create"])
    client = net.api(None)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert client.post(f"{API}/instances/", order(floating_ip=True), format="json").status_code == 403
    assert client.post(f"{API}/instances/", order(ports=[ours["loose"]]), format="json").status_code == 404
    assert client.post(f"{API}/floating-ips/{ours['floating']}/actions/disassociate/", {}, format="json").status_code == 404


# -- quotas --

@pytest.mark.parametrize(("dimension", "limit", "further"), [
    ("ports", 2, {"count": 3}), ("floating_ips", 2, {"count": 3, "floating_ip": True}), ("vpcs", 0, {}), ("subnets", 0, {}),
    ("security_groups", 0, {}), ("security_group_rules", 3, {}), ("instances", 2, {"count": 3})])
def test_no_order_takes_more_than_a_quota(net: Networked, order: Callable, dimension: str, limit: int, further: dict) -> None:
    Quota.objects.create(project=net.world.project, region=net.world.region, dimension=dimension, limit=limit)
    answer = net.post("instances", order(**further))
    assert (answer.json()["code"], answer.json()["limit"]) == ("quota_exceeded", limit)
    assert not Resource.objects.filter(kind__in=["instance", "port", "floating_ip", "vpc", "subnet", "security_group"]).exists()


def test_ports_made_beforehand_count_once(net: Networked, order: Callable) -> None:
    Quota.objects.create(project=net.world.project, region=net.world.region, dimension="ports", limit=1)
    port = net.port(str(net.default_subnet().pk))["id"]
    assert net.post("instances", order()).json()["code"] == "quota_exceeded"
    assert net.post("instances", order(ports=[port])).status_code == 202


def test_a_repeated_order_with_a_key_makes_its_count_once(net: Networked, order: Callable) -> None:
    body = order(count=3, floating_ip=True)
    one, two = (net.post("instances", body, HTTP_IDEMPOTENCY_KEY="k") for _number in range(2))
    assert one.json()["id"] == two.json()["id"]
    assert Instance.objects.count() == FloatingIp.objects.count() == Port.objects.live().count() == 3
    assert net.post("instances", body | {"count": 4}, HTTP_IDEMPOTENCY_KEY="k").json()["code"] in ("idempotency_key_reused",
                                                                                                  "key_reused")


# -- hostile text --

HOSTILE = ("<svg onload=alert(1)>", "$(reboot)", "a\r\nSet-Cookie: x=1", "a\nb", "x\" || 1 == 1", "..", "\u202e\u0000", "{{7*7}}",
           "@vpc_x", "a" * 101, "", " ", "a\u2028b", "\x1b[31m")


def test_no_name_breaks_out(net: Networked, order: Callable) -> None:
    subnet = str(net.default_subnet().pk)
    for name in HOSTILE:
        for path, body in (("vpcs", net.scope), ("security-groups", net.scope), ("ports", {"subnet": subnet}),
                           ("instances", order())):
            answer = net.post(path, body | {"name": name})
            assert answer.status_code < 500, (path, name)
            if answer.status_code < 300:
                assert name == "@vpc_x", (path, name)


def test_no_rule_and_no_range_carries_a_match_of_its_own(net: Networked) -> None:
    group, vpc = net.group()["id"], net.vpc()["id"]
    rule = {"security_group": group, "direction": "ingress", "protocol": "tcp"}
    for further in ({"remote_cidr": "0.0.0.0/0 || 1"}, {"remote_cidr": "10.0.0.0/8}"}, {"remote_cidr": "１０.0.0.0/8"},
                    {"remote_cidr": ["10.0.0.0/8"]}, {"remote_cidr": "10.0.0.0/8\n"}, {"protocol": "tcp || udp"},
                    {"port_min": "22 || 1"}, {"port_min": 22.5}, {"port_min": True}, {"port_min": 2**70}, {"direction": "both"}):
        assert net.post("security-group-rules", rule | further).status_code == 400, further
    for further in ({"dns": ["8.8.8.8, evil=1"]}, {"dns": ["8.8.8.8}"]}, {"dns": "8.8.8.8"}, {"dns": ["::1"]},
                    {"dns": ["8.8.8.8"] * 5}, {"gateway": "10.1.0.1\n"}, {"cidr": "10.1.0.0/24 "}, {"cidr": "10.1.0.1/24"}):
        body = {"vpc": vpc, "name": "x", "cidr": "10.1.0.0/24"} | further
        assert net.post("subnets", body).status_code == 400, further


def test_descriptions_are_text_on_pages(net: Networked) -> None:
    evil = "<img src=x onerror=alert(1)>'\"=cmd|' /C calc'!A0"
    group = net.group(description=evil)["id"]
    net.made("security-group-rules", {"security_group": group, "direction": "ingress", "protocol": "tcp", "description": evil})
    vpc = net.vpc(description=evil, tags={"<b>": evil})["id"]
    client = Client()
    client.force_login(net.world.people["alice"])
    for url in (f"/security-groups/{group}/", f"/vpcs/{vpc}/", "/vpcs/", "/security-groups/"):
        answer = client.get(url)
        assert answer.status_code == 200 and b"<img src=x" not in answer.content and b"<b>:" not in answer.content, url


# -- hosts: operators only, and even they run nothing else --

def test_hosts_are_added_by_operators_alone_and_by_plain_addresses(net: Networked) -> None:
    body = {"name": "evil", "zone": str(net.world.zone.pk)}
    for who in ("alice", "mallory", "vera"):
        assert net.post("hosts", body | {"address": "root@10.99.7.99"}, by=who).status_code == 404, who
    for address in ("-oProxyCommand=touch /tmp/x", "root@-oProxyCommand=x", "-x@host", "root@host -v", "root@host;id",
                    "root@host\nHost *", "root@host:0", "root@host:99999", "qemu+ssh://root@h/system?command=/bin/id",
                    "root@host?command=/bin/id", "root@host/../x", "unix:///run/x", "root@[::1%25eth0]", ""):
        answer = net.post("hosts", body | {"address": address}, by="root")
        assert answer.status_code == 400, (address, answer.content)
    for path in ("/var/lib/../etc", "relative", "/a b", "/a;id", "/a\nb", "-x", "/$(id)", "/", "/a/./b"):
        answer = net.post("hosts", body | {"address": "root@10.99.7.99", "pool_path": path}, by="root")
        assert answer.status_code == 400, (path, answer.content)
    assert not Endpoint.objects.filter(name="evil").exists()


def test_no_answer_or_audit_row_has_a_private_key(net: Networked) -> None:
    secret = "-----BEGIN PRIVATE KEY-----\nsecretsecret"
    net.fabric.private_key = secret
    net.fabric.save()
    Endpoint.objects.update(private_key=secret)
    client = Client()
    client.force_login(net.world.people["root"])
    endpoint = Endpoint.objects.get()
    urls = [reverse("admin:network_fabric_change", args=[net.fabric.pk]), reverse("admin:hosts_endpoint_changelist"),
            reverse("admin:hosts_endpoint_change", args=[endpoint.pk]), reverse("admin:hosts_sshidentity_changelist"),
            f"{API}/fabrics/", f"{API}/hosts/"]
    for url in urls:
        answer = client.get(url)
        assert answer.status_code == 200 and b"secretsecret" not in answer.content, url
    client.post(urls[2], {"name": "sim-1", "driver": "simulated", "uri": endpoint.uri, "mode": "managed", "host_key": "",
                          "private_key": secret + "2"})
    assert not [row for row in AuditEvent.objects.all() if "secretsecret" in f"{row.before}{row.after}"]


def test_a_tenants_failure_names_no_host(net: Networked) -> None:
    Host.objects.update(is_in_maintenance=True)
    operation = placed(net)
    drain()
    said = net.get(f"operations/{operation.pk}").content + net.get(f"instances/{operation.target_id}").content
    host = net.world.host
    assert not any(text.encode() in said for text in (host.name, host.endpoint.uri, str(host.pk), net.fabric.uri))
