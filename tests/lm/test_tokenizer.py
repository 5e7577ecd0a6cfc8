"""Texts to tokens and back, chats by their template, and templates that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sloc.contracts import InvalidInput
from sloc.lm.tokenizer import Tokenizer, read_tokenizer
from tests.lm.texts import SPECIAL, TEMPLATE, write_tokenizer


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    found = read_tokenizer(write_tokenizer(tmp_path))
    assert found is not None
    return found


def test_texts_come_back(tokenizer: Tokenizer) -> None:
    text = "Grüße, 世界! <b>"
    ids = tokenizer.encode(text)
    assert ids[0] == tokenizer.token("<s>")
    assert len(ids) == 1 + len(text.encode())
    assert tokenizer.encode(text, special=False) == ids[1:]
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids, skip_special=False) == "<s>" + text
    assert tokenizer.size == 256 + len(SPECIAL)
    assert tokenizer.token("absent") is None


def test_pieces_join_to_the_text(tokenizer: Tokenizer) -> None:
    text = "aé世b"
    pieces = tokenizer.pieces(tokenizer.encode(text, special=False))
    assert "".join(pieces) == text
    assert pieces == ["a", "", "é", "", "", "世", "b"]


def test_pieces_of_a_trained_checkpoint(test_data: Path) -> None:
    found = read_tokenizer(test_data / "models" / "stories260k")
    assert found is not None
    ids = found.encode("Once upon a time, there was a little cat", special=False)
    assert "".join(found.pieces(ids)) == found.decode(ids, skip_special=False)


def test_a_chat_by_its_template(tokenizer: Tokenizer) -> None:
    turns = [
        {"role": "user", "content": " Hi "},
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": "?"},
    ]
    text = tokenizer.chat(turns, answer="Sure")
    assert text == "<s><user>Hi<bot>Yes</s><user>?<bot>Sure"
    ids = tokenizer.encode_chat(turns, answer="Sure")
    assert ids[:2] == [tokenizer.token("<s>"), tokenizer.token("<user>")]
    assert ids.count(tokenizer.token("<s>")) == 1
    assert tokenizer.decode(ids, skip_special=False) == text


def test_a_template_in_a_file_of_its_own_comes_first(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}!")
    found = read_tokenizer(tmp_path)
    assert found is not None
    assert found.chat([{"role": "user", "content": "x"}]) == "x!"


def test_a_template_chosen_by_name(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["chat_template"] = [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    found = read_tokenizer(tmp_path)
    assert found is not None
    assert found.chat([{"role": "user", "content": "x"}]) == "d"


HI = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
        ("{{ ''.__class__ }}", "unsafe"),
        ("{{ raise_exception('not this') }}", "not this"),
        ("{% if %}", "chat template"),
        ("{{ pad_token }}", "pad_token"),
    ],
)
def test_templates_are_sandboxed_and_refused_with_their_reason(tokenizer: Tokenizer, template: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        tokenizer.chat(HI, template=template)


def test_a_template_that_writes_a_token_which_is_not_there_is_refused(tmp_path: Path) -> None:
    found = read_tokenizer(write_tokenizer(tmp_path, TEMPLATE, ("<user>", "<bot>", "</s>")))
    assert found is not None
    with pytest.raises(InvalidInput, match="bos_token"):
        found.encode_chat(HI)


def test_no_template_and_unknown_roles_are_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    bare = read_tokenizer(write_tokenizer(tmp_path / "bare", None))
    assert bare is not None
    with pytest.raises(InvalidInput, match="chat template"):
        bare.chat(HI)
    with pytest.raises(InvalidInput, match="no such role"):
        tokenizer.chat([{"role": "judge", "content": "x"}])


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    assert read_tokenizer(tmp_path) is None
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"tokenizer\.json"):
        read_tokenizer(tmp_path)
