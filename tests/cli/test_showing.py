"""What a command shows: tables, one JSON document, ids; nothing from the portal moves the terminal's cursor."""
import os
import re
import subprocess

import pytest

from tests.cli.conftest import FILE, KEY, Stub

PK = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
EVIL = "a\x1b[2Jb\r\u202ec\x9b31md\u2028e\n\ud800"


def region(pk: str, name: str, **further: object) -> dict:
    return {"id": pk, "slug": name, "name": name, "is_open": True, **further}


def test_columns_stay_in_line_with_wide_characters(mains, program, stub: Stub) -> None:
    stub.rows("regions/", region(PK, "北京一区"), region(OTHER, "lab"))
    lines = mains("region", "list").out.splitlines()
    assert lines[0].split() == ["SLUG", "NAME", "IS", "OPEN", "ID"]
    starts = {program.width(line[:line.index(pk)]) for line, pk in zip(lines[1:], (PK, OTHER), strict=True)}
    assert starts == {program.width(lines[0][:lines[0].rindex("ID")])}


def test_an_empty_list_says_so_beside_the_answer(mains, stub: Stub) -> None:
    stub.rows("regions/")
    said = mains("region", "list")
    assert (said.code, said.out) == (0, "") and "nothing found" in said.err
    assert mains("region", "list", "--json").json == []


def test_json_is_one_document_and_what_the_portal_said(mains, stub: Stub) -> None:
    rows = [region(PK, "one", facts={"nested": [1, None]}), region(OTHER, "二")]
    stub.rows("regions/", *rows)
    assert mains("region", "list", "--json").json == rows
    assert mains("--json", "region", "list").json == rows
    stub.answers["GET", f"regions/{PK}/"] = (200, rows[0])
    assert mains("region", "show", PK, "--json").json == rows[0]
    assert mains("region", "show", PK, OTHER, "--json").code == 3  # the other is not there


@pytest.mark.parametrize("words", [("region", "list"), ("region", "list", "--json"), ("region", "list", "-q"),
                                   ("region", "show", PK), ("region", "show", "evil"), ("region", "show", PK, "--json")])
def test_nothing_steers_the_terminal(mains, stub: Stub, words: tuple) -> None:
    row = region(EVIL if "-q" in words else PK, EVIL, extra={"k" + EVIL: [EVIL]}, **{"f" + EVIL: EVIL})
    stub.rows("regions/", row)
    stub.answers["GET", f"regions/{PK}/"] = (200, row)
    said = mains(*words)
    assert said.code == 0 and not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\ud800]", said.out)
    assert "\\x1b" in said.out or "\\u001b" in said.out
    if "--json" in words:
        assert said.json in (row, [row])


def test_a_problem_does_not_steer_it_either(mains, stub: Stub) -> None:
    stub.answers["GET", "me/"] = (409, {"title": EVIL, "detail": EVIL, "code": EVIL, "errors": {EVIL: [EVIL]}, "fact": EVIL})
    said = mains("me")
    assert said.code == 3 and not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", said.err)


def test_ids_are_shown_as_names_where_they_are_known(mains, stub: Stub) -> None:
    stub.rows("zones/", {"id": OTHER, "slug": "a", "name": "Zone A", "region": PK, "is_open": True})
    stub.rows("regions/", region(PK, "lab"))
    line = mains("zone", "list").out.splitlines()[1]
    assert line.split() == ["a", "Zone", "A", "lab", "yes", OTHER]
    stub.answers["GET", f"zones/{OTHER}/"] = (200, {"id": OTHER, "region": PK})
    assert f"lab ({PK})" in mains("zone", "show", OTHER).out


def test_chosen_columns(mains, stub: Stub) -> None:
    stub.rows("regions/", region(PK, "lab"))
    assert mains("region", "list", "-c", "id,slug").out.splitlines()[0].split() == ["ID", "SLUG"]


def test_a_secret_is_shown_once_or_kept_in_a_file(mains, stub: Stub, tmp_path) -> None:
    stub.answers["POST", "api-keys/"] = (201, {"id": PK, "name": "ci", "secret": "mns_new"})
    said = mains("api-key", "create", "ci")
    assert "mns_new" in said.out and "only now" in said.err
    kept = tmp_path / "key"
    said = mains("api-key", "create", "ci", "--save", str(kept))
    assert "mns_new" not in said.out + said.err and kept.read_text() == "mns_new\n" and kept.stat().st_mode & 0o777 == 0o600
    said = mains("api-key", "create", "ci", "--save", str(kept))
    assert said.code == 2 and kept.read_text() == "mns_new\n"


def test_it_speaks_chinese_and_asks_the_portal_to(mains, stub: Stub, monkeypatch) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    stub.rows("regions/")
    said = mains("region", "list")
    assert "没有找到" in said.err and stub.asked[-1].headers["Accept-Language"] == "zh-hans"
    assert "缺少参数" in mains("instance", "create").err and "实例" in mains("help").out
    assert "没有名为 nowhere 的地域" in mains("region", "show", "nowhere").err


def test_the_reference_names_every_command(mains, program) -> None:
    said = mains("help", "--markdown")
    assert said.code == 0
    for kind, found in program.RESOURCES.items():
        for name in found.verbs:
            assert f"### mains {kind} {name}\n" in said.out
    assert mains("help").code == 0 and mains().code == 2 and mains("instance", "--help").code == 0


@pytest.mark.parametrize(("words", "found"), [
    (("",), {"instance", "login"}), (("inst",), {"instance", "instance-type"}), (("instance", "st"), {"start", "stop"}),
    (("instance", "stop", "--f"), {"--force"}), (("instance", "stop", "w"), {"web", "web two"}),
    (("security-group-rule", "create", "--direction", ""), {"ingress", "egress"}),
    (("instance", "list", "--zone", ""), {"a"}), (("completion", ""), {"bash", "zsh"}), (("nonsense", ""), set())])
def test_completion_offers_words_and_names(mains, stub: Stub, words: tuple, found: set) -> None:
    stub.rows("instances/", {"id": PK, "name": "web"}, {"id": OTHER, "name": "web two"}, {"id": PK, "name": "w" + EVIL})
    stub.rows("zones/", {"id": PK, "slug": "a", "name": "Zone A"})
    said = mains("__complete", *words)
    assert said.code == 0 and said.err == ""
    offered = set(said.out.splitlines())
    assert found <= offered and all(word.startswith(words[-1]) for word in offered)
    assert len(found) == len(offered) or words[0] in ("", "instance", "inst")


def test_bash_takes_names_with_spaces_whole(stub: Stub, tmp_path) -> None:
    stub.rows("instances/", {"id": PK, "name": "web two; reboot"}, {"id": OTHER, "name": "web"})
    (tmp_path / "mains").symlink_to(FILE)
    script = """source <(mains completion bash); COMP_WORDS=(mains instance stop we); COMP_CWORD=3; _mains
                printf '%s\\n' "${COMPREPLY[@]}"; COMP_WORDS=(mains instance sto); COMP_CWORD=2; _mains
                echo "${COMPREPLY[@]}" """
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "MAINS_URL": stub.url, "MAINS_API_KEY": KEY, "LANG": "C.UTF-8",
                   "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["web\\ two\\;\\ reboot", "web", "stop"] and done.stderr == ""


def test_completion_is_silent_without_a_portal(mains) -> None:
    assert (said := mains("__complete", "instance", "stop", "")) and (said.code, said.out, said.err) == (0, "", "")
    assert "complete -o default -F _mains mains" in mains("completion", "bash").out
    assert KEY not in mains("completion", "zsh").out
