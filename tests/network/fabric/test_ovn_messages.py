"""The parser that takes messages as they arrive agrees with the library's own, wherever they are cut."""
import json

import ovs.json
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.network.fabric.ovn.messages import MessageParser, install

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(['"', "\\", '\\"', "{", "]", '{"a": [', "\n"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4), max_leaves=20)
messages = st.dictionaries(st.text(max_size=5), values, max_size=5)


@given(st.lists(messages, min_size=1, max_size=3), st.lists(st.integers(1, 40), min_size=1))
def test_messages_come_out_as_they_went_in(sent: list[dict], cuts: list[int]) -> None:
    text, received, parser, turn = "".join(json.dumps(one) for one in sent), [], MessageParser(), 0
    while text:
        size, turn = cuts[turn % len(cuts)], turn + 1
        piece, text = text[:size], text[size:]
        while piece:
            piece = piece[parser.feed(piece):]
            if parser.is_done():
                received.append(parser.finish())
                parser = MessageParser()
    assert received == sent


@pytest.mark.parametrize("text", ["]", '{"a": }', '{"a" 1}', "{'a': 1}"])
def test_what_is_no_json_is_a_string(text: str) -> None:
    parser = MessageParser()
    assert parser.feed(text) == len(text) and parser.is_done()
    assert isinstance(parser.finish(), str)


def test_the_library_uses_it() -> None:
    install()
    assert ovs.json.PARSER == ovs.json.PARSER_C or ovs.json.Parser is MessageParser
    assert ovs.json.from_string('{"a": ["\\"", 1]}') == {"a": ['"', 1]}
