"""How the program talks to a portal: what it sends, what it repeats, where the key goes, what a problem looks like."""
import ssl
import subprocess

import pytest

from tests.cli.conftest import KEY, Stub

PK = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
THIRD = "33333333-3333-4333-8333-333333333333"
QUEUED = {"id": PK, "kind": "instance.start", "state": "queued", "progress": 0, "step": None, "error": None, "result": None,
          "target": {"type": "instance", "id": OTHER, "url": "/"}}


def test_names_become_ids_and_defaults_are_found(mains, stub: Stub) -> None:
    stub.rows("projects/", {"id": PK, "name": "Default"})
    stub.rows("regions/", {"id": OTHER, "slug": "lab", "name": "Lab"})
    stub.rows("instance-types/", {"id": THIRD, "slug": "small", "name": "Small"})
    stub.rows("images/", {"id": THIRD, "name": "Mains demo"})
    stub.rows("ssh-keys/", {"id": PK, "name": "laptop"})
    stub.answers["POST", "instances/"] = (202, QUEUED)
    said = mains("instance", "create", "web", "--type", "small", "--image", "Mains demo", "--ssh-key", "laptop",
                 "--floating-ip", "--count", "2", "--tag", "env=prod", "--quiet")
    assert (said.code, said.out) == (0, OTHER + "\n")
    (sent,) = [asked for asked in stub.asked if asked.method == "POST"]
    assert sent.body == {"name": "web", "project": PK, "region": OTHER, "type": THIRD, "image": THIRD, "ssh_keys": [PK],
                         "floating_ip": True, "count": 2, "tags": {"env": "prod"}}
    assert sent.headers["Authorization"] == f"Bearer {KEY}" and sent.headers["Idempotency-Key"]
    assert "/api/v1/images/?name=Mains+demo&limit=50" in stub.paths("GET")


def test_an_ambiguous_name_is_refused_with_the_candidates(mains, stub: Stub) -> None:
    stub.rows("instances/", {"id": PK, "name": "web", "project": PK}, {"id": OTHER, "name": "web", "project": OTHER})
    said = mains("instance", "start", "web")
    assert said.code == 2 and PK in said.err and OTHER in said.err and not stub.paths("POST")


def test_the_project_that_is_said_decides_between_equal_names(mains, stub: Stub) -> None:
    stub.rows("vpcs/", {"id": PK, "name": "net", "project": PK}, {"id": OTHER, "name": "net", "project": OTHER})
    stub.rows("subnets/")
    assert mains("subnet", "list", "--project", OTHER, "--vpc", "net").code == 0
    assert stub.paths("GET")[-1].startswith(f"/api/v1/subnets/?project={OTHER}&vpc={OTHER}")


def test_several_projects_without_a_word_are_refused(mains, stub: Stub, monkeypatch) -> None:
    stub.rows("projects/", {"id": PK, "name": "one"}, {"id": OTHER, "name": "two"})
    stub.rows("regions/", {"id": OTHER, "slug": "lab", "name": "Lab"})
    stub.answers["POST", "vpcs/"] = (201, {"id": THIRD, "name": "net"})
    said = mains("vpc", "create", "net")
    assert said.code == 2 and "--project" in said.err and "two" in said.err and not stub.paths("POST")
    monkeypatch.setenv("MAINS_PROJECT", PK)
    assert mains("vpc", "create", "net").code == 0 and stub.asked[-1].body["project"] == PK


def test_a_lost_answer_is_asked_for_again_with_the_same_key(mains, stub: Stub) -> None:
    stub.answers["POST", f"instances/{OTHER}/actions/start/"] = [
        None, (503, {"title": "Busy", "code": "unavailable"}, {"Retry-After": "7"}), (202, QUEUED)]
    said = mains("instance", "start", OTHER)
    assert said.code == 0 and len(stub.asked) == 3
    assert len({asked.headers["Idempotency-Key"] for asked in stub.asked}) == 1
    assert said.pauses[1] == 7 and len(said.pauses) == 2


def test_too_many_requests_wait_as_told_and_not_for_ever(mains, stub: Stub) -> None:
    stub.answers["GET", "me/"] = (429, {"title": "Too many requests", "code": "rate_limited", "detail": "Slow down.",
                                        "retry_after": 3}, {"Retry-After": "3"})
    said = mains("me")
    assert said.code == 3 and said.pauses == [3, 3, 3, 3] and "Slow down." in said.err


def test_a_deletion_whose_answer_is_lost_is_not_repeated(mains, stub: Stub) -> None:
    stub.answers["DELETE", f"vpcs/{PK}/"] = None
    said = mains("vpc", "delete", PK, "--yes")
    assert said.code == 4 and len(stub.paths("DELETE")) == 1 and "may have been carried out" in said.err


def test_a_portal_that_is_not_there(mains, monkeypatch, stub: Stub) -> None:
    monkeypatch.setenv("MAINS_URL", "http://127.0.0.1:9")
    said = mains("me")
    assert said.code == 4 and len(said.pauses) == 4 and KEY not in said.out + said.err


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_key_does_not_follow_a_redirect(mains, stub: Stub, other: Stub, status: int) -> None:
    stub.answers["GET", "me/"] = (status, b"", {"Location": other.url + "/api/v1/me/"})
    said = mains("me")
    assert said.code == 4 and other.asked == [] and other.url in said.err and KEY not in said.err


def test_the_next_page_is_asked_of_the_same_portal(mains, stub: Stub, other: Stub) -> None:
    def page(asked) -> tuple:
        last = "cursor=two" in asked.path
        return 200, {"next": None if last else other.url + "/api/v1/regions/?cursor=two&limit=9", "previous": None,
                     "results": [{"id": PK if last else OTHER, "slug": "b" if last else "a", "name": "x", "is_open": True}]}

    stub.answers["GET", "regions/"] = page
    said = mains("region", "list", "-q")
    assert said.out.split() == [OTHER, PK] and other.asked == [] and len(stub.asked) == 2
    assert mains("region", "list", "-q", "--limit", "1").out.split() == [OTHER] and len(stub.asked) == 3
    assert "limit=1" in stub.asked[-1].path


def test_a_problem_in_plain_words(mains, stub: Stub) -> None:
    stub.answers["POST", "ssh-keys/"] = (409, {
        "type": "urn:x", "title": "Quota exceeded", "detail": "The quota is 5.", "status": 409, "code": "quota_exceeded",
        "limit": 5, "used": 5, "request_id": "r1", "errors": {"public_key": ["No key."], "scopes.0": ["Unknown."]}})
    said = mains("ssh-key", "create", "laptop", "--project", PK, "--public-key", "ssh-ed25519 AAAA me")
    assert said.code == 3 and said.out == ""
    assert "Quota exceeded: The quota is 5. (409 quota_exceeded)" in said.err
    assert "  --public-key: No key." in said.err and "  limit: 5" in said.err and "scopes [0]: Unknown." in said.err


@pytest.mark.parametrize(("answer", "code"), [
    ((403, {"title": "Not allowed", "code": "forbidden"}), 3), ((404, {"title": "Not found", "code": "not_found"}), 3),
    ((500, {"title": "Wrong", "code": "error", "request_id": "r9"}), 4), ((200, b"<html>"), 4), ((502, b"<html>bad"), 4)])
def test_exit_codes_tell_what_kind_of_trouble(mains, stub: Stub, answer: tuple, code: int) -> None:
    stub.answers["GET", "me/"] = answer
    said = mains("me")
    assert said.code == code and said.out == "" and KEY not in said.err
    if answer[0] == 500:
        assert "r9" in said.err


@pytest.mark.parametrize("words", [
    ("nonsense",), ("instance",), ("instance", "fly"), ("instance", "create"), ("instance", "list", "--stat", "x"),
    ("instance", "show", PK, "--limit", "1"), ("instance", "list", "--limit", "0"), ("operation", "show", "web"),
    ("instance", "update", PK), ("usage", "list", "--start", "yesterday"), ("api", "GET", "http://elsewhere/api/v1/me/"),
    ("api", "POST", "/x/", "--body", "{"), ("instance", "delete", PK),
    ("ssh-key", "create", "k", "--project", PK, "--public-key", "/nowhere")])
def test_wrong_usage_asks_nothing(mains, stub: Stub, words: tuple) -> None:
    said = mains(*words)
    assert said.code == 2 and said.err and stub.asked == []


def test_a_private_key_stays_at_home(mains, stub: Stub, tmp_path) -> None:
    (tmp_path / "id").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n")
    said = mains("ssh-key", "create", "k", "--project", PK, "--public-key", str(tmp_path / "id"))
    assert said.code == 2 and stub.asked == [] and "secret" not in said.err


def test_several_at_once_are_done_one_by_one(mains, stub: Stub) -> None:
    stub.answers["DELETE", f"vpcs/{PK}/"] = (409, {"title": "Busy", "code": "busy", "detail": "In use."})
    stub.answers["DELETE", f"vpcs/{OTHER}/"] = (204, None)
    said = mains("vpc", "delete", PK, OTHER, "--yes")
    assert said.code == 3 and "In use." in said.err and f"{OTHER}: deleted" in said.out


def test_times_tags_ports_and_switches(mains, stub: Stub) -> None:
    stub.rows("usage/")
    assert mains("usage", "list", "--start", "2026-01-01T00:00:00+08:00", "--group-by", "meter").code == 0
    assert "start=2025-12-31T16%3A00%3A00Z&group_by=meter" in stub.asked[-1].path
    stub.rows("instances/")
    mains("instances", "list", "--tag", "env=prod", "--state", "running", "--state", "error")
    assert "tag=env%3Aprod&state=running&state=error" in stub.asked[-1].path
    stub.answers["POST", "security-group-rules/"] = (201, {"id": PK})
    mains("rule", "create", "--security-group", PK, "--direction", "ingress", "--protocol", "tcp", "--port", "80-90")
    assert (stub.asked[-1].body["port_min"], stub.asked[-1].body["port_max"]) == (80, 90)
    stub.answers["POST", "subnets/"] = (201, {"id": PK})
    mains("subnet", "create", "s", "--vpc", PK, "--cidr", "10.0.0.0/24", "--no-dhcp", "--dns", "9.9.9.9")
    assert stub.asked[-1].body == {"name": "s", "vpc": PK, "cidr": "10.0.0.0/24", "dhcp": False, "dns": ["9.9.9.9"]}
    stub.answers["POST", f"hosts/{PK}/maintenance/"] = (200, {"id": PK})
    mains("host", "leave-maintenance", PK)
    assert stub.asked[-1].body == {"enabled": False}


def test_quotas_are_set_line_by_line(mains, stub: Stub) -> None:
    lines = [{"resource": "instances", "scope": "Acme", "limit": None, "used": 1, "wanted": 0}]
    once = {"resource": "api_keys", "scope": "shop", "limit": 5, "used": 1, "wanted": 0}
    found = {"results": [{"region": OTHER, "lines": lines}, {"region": None, "lines": [once]}]}
    stub.answers["PUT", f"projects/{PK}/quotas/"] = stub.answers["GET", f"projects/{PK}/quotas/"] = (200, found)
    said = mains("quota", "set", "--limit", "instances=9", "--limit", "vcpus=unlimited", "--project", PK, "--region", OTHER)
    assert said.code == 0 and "unlimited" in said.out
    assert stub.paths("PUT") and next(asked for asked in stub.asked if asked.method == "PUT").body == {"limits": [
        {"region": OTHER, "resource": "instances", "limit": 9}, {"region": OTHER, "resource": "vcpus", "limit": None}]}
    stub.answers["PUT", f"organizations/{PK}/quotas/"] = stub.answers["GET", f"organizations/{PK}/quotas/"] = (200, found)
    assert mains("organization-quota", "set", "--limit", "api_keys=7", "--organization", PK).code == 0
    asked = [asked for asked in stub.asked if asked.method == "PUT"][-1]
    assert asked.body == {"limits": [{"region": None, "resource": "api_keys", "limit": 7}]}


def test_a_raw_request(mains, stub: Stub) -> None:
    stub.answers["PATCH", f"vpcs/{PK}/"] = (200, {"id": PK}, {"ETag": '"3"'})
    said = mains("api", "patch", f"/api/v1/vpcs/{PK}/?x=1", "--body", '{"name": "n"}', "--if-match", '"2"')
    sent = stub.asked[-1]
    assert said.json == {"id": PK} and sent.body == {"name": "n"} and sent.headers["If-Match"] == '"2"'
    assert sent.path.endswith("?x=1")


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(mains, monkeypatch, tmp_path, stub: Stub) -> None:
    paths = [str(tmp_path / name) for name in ("key.pem", "cert.pem")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "1", "-keyout", paths[0], "-out", paths[1], "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths[1], paths[0])
    stub.server.socket = context.wrap_socket(stub.server.socket, server_side=True)
    stub.answers["GET", "me/"] = (200, {"id": PK, "username": "demo", "email": "", "organizations": [], "projects": []})
    monkeypatch.setenv("MAINS_URL", stub.url.replace("http://127.0.0.1", "https://localhost"))
    said = mains("me")
    assert said.code == 4 and said.pauses == [] and "certificate" in said.err.lower() and stub.asked == []
    monkeypatch.setenv("SSL_CERT_FILE", paths[1])
    assert "demo" in mains("me").out
    monkeypatch.setenv("MAINS_URL", stub.url.replace("http:", "https:"))  # the certificate is another name's
    assert mains("me").code == 4 and len(stub.asked) == 1


@pytest.mark.parametrize(("typed", "code"), [("yes", 0), ("no", 2), ("", 2)])
def test_deleting_asks_the_person_in_front(mains, stub: Stub, typed: str, code: int) -> None:
    stub.answers["DELETE", f"vpcs/{PK}/"] = (204, None)
    said = mains("vpc", "delete", PK, stdin=typed + "\n", is_terminal=True)
    assert said.code == code and len(stub.paths("DELETE")) == (code == 0) and PK in said.err
