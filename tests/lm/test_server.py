"""A server by URL: what is sent, what comes back, what is retried and what is told when it fails."""

from __future__ import annotations

import dataclasses

import pytest

from sloc.contracts import InvalidInput

pytest.importorskip("tokenizers")

from sloc.lm import Sampling
from sloc.lm.answers import RegexTask
from sloc.lm.backends import EngineBackend, Failure, Generation, Request, Rule, ServerBackend, Transport, open_backend
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.questions import Question
from tests.lm.loopback import Loopback, serving
from tests.lm.small_models import letters

RULE = Rule(8, Sampling(temperature=0.7, top_p=0.9))
FAST = Transport(pause=0.0, retries=2, concurrency=4)
ASK = Request("q", "abc")


@pytest.fixture(scope="module")
def engine() -> EngineBackend:
    return EngineBackend(letters(), lanes=1)


def test_texts_tokens_and_cuts_come_back(engine: EngineBackend) -> None:
    with serving(Loopback(engine)) as server:
        backend = ServerBackend(server.url, transport=FAST, per_request=2)
        assert backend.name == "letters"
        (made,) = backend.generate([ASK], RULE, seed=0)
        assert isinstance(made, Generation)
        assert len(made) > 2
        assert "".join(made.pieces) == made.text
        assert all(len(p) == 1 or p == "<end>" for p in made.pieces), "its tokens, not words"
        forked = backend.fork(ASK, made, [0, 2], 3, RULE, seed=0)
        assert [len(f) for f in forked if isinstance(f, list)] == [3, 3]
        sent = [r for r in server.requests if r["prompt"] == "abc" + "".join(made.pieces[:2])]
        assert {r["max_tokens"] for r in sent} == {6}, "kept tokens count"
        assert sorted(r.get("n", 1) for r in sent) == [1, 2]
        assert all((r["temperature"], r["top_p"]) == (0.7, 0.9) for r in sent)
        again = backend.fork(ASK, made, [0, 2], 3, RULE, seed=0)
        assert again == forked, "the same seeds"
        assert backend.fork(ASK, made, [0, 2], 3, RULE, seed=1) != forked
        (asked,) = backend.fork(ASK, made, [1], 2, Rule(3), seed=0, ask=" h")
        assert isinstance(asked, list)
        assert server.requests[-1]["prompt"] == "abc" + made.pieces[0] + " h"
        assert server.requests[-1]["max_tokens"] == 3


def test_token_ids_where_the_server_takes_them(engine: EngineBackend) -> None:
    tokenizer = letters().tokenizer
    with serving(Loopback(engine)) as server:
        backend = ServerBackend(server.url, tokenizer=tokenizer, transport=FAST)
        (made,) = backend.generate([ASK], RULE, seed=0)
        assert isinstance(made, Generation)
        assert made.tokens is not None
        backend.fork(ASK, made, [2], 1, RULE, seed=0)
        assert server.requests[-1]["prompt"] == [*tokenizer.encode("abc"), *made.tokens[:2]]
        assert backend.notes == []
    with serving(Loopback(engine, frozenset({"token-id prompts", "return_token_ids"}))) as server:
        backend = ServerBackend(server.url, tokenizer=tokenizer, transport=FAST)
        (plain,) = backend.generate([ASK], RULE, seed=0)
        assert isinstance(plain, Generation)
        assert plain.text == made.text
        assert len(backend.notes) >= 2
        assert "token-id prompts" in " ".join(backend.notes)
        assert isinstance(server.requests[-1]["prompt"], str)


def test_chats_go_on_from_an_unfinished_turn(engine: EngineBackend) -> None:
    turns = ({"role": "user", "content": "abc"},)
    with serving(Loopback(engine)) as server:
        backend = ServerBackend(server.url, endpoint="chat", transport=FAST)
        assert backend.chats
        (made,) = backend.generate([Request("q", turns)], RULE, seed=0)
        assert isinstance(made, Generation)
        backend.fork(Request("q", turns), made, [3], 1, RULE, seed=0)
        last = server.requests[-1]
        assert last["messages"] == [*turns, {"role": "assistant", "content": "".join(made.pieces[:3])}]
        assert (last["continue_final_message"], last["add_generation_prompt"]) == (True, False)
        plain = ServerBackend(server.url, transport=FAST)
        with pytest.raises(InvalidInput, match="a tokenizer with a chat template, or the endpoint 'chat'"):
            plain.generate([Request("q", turns)], RULE, seed=0)


def test_a_server_that_gives_fewer_texts_than_asked_for(engine: EngineBackend) -> None:
    with serving(Loopback(engine, most=1)) as server:
        backend = ServerBackend(server.url, transport=FAST, per_request=4)
        made = Generation(("a", "b"))
        (drawn,) = backend.fork(ASK, made, [1], 4, RULE, seed=0)
        assert isinstance(drawn, list)
        assert len(drawn) == 4
        assert len({r["seed"] for r in server.requests}) == 4


@pytest.mark.parametrize(
    "trouble",
    [(500, {"error": "x"}), (429, {}), (503, b"<html>"), (200, b"{cut"), (200, {"other": 1}), (None, None)],
    ids=["500", "429", "503", "cut", "no choices", "dropped"],
)
def test_trouble_is_retried_then_told(engine: EngineBackend, trouble: tuple) -> None:
    with serving(Loopback(engine)) as server:
        backend = ServerBackend(server.url, transport=FAST)
        if trouble != (200, {"other": 1}):
            server.script = [trouble] * 2
            assert isinstance(backend.generate([ASK], RULE, seed=0)[0], Generation)
            assert len(server.requests) == 3
        server.script = [trouble] * 3
        (failed,) = backend.generate([ASK], RULE, seed=0)
        assert isinstance(failed, Failure)
        assert "no answer after 3 tries" in failed.reason or "without choices" in failed.reason


def test_time_outs_are_told(engine: EngineBackend) -> None:
    with serving(Loopback(engine)) as server:
        backend = ServerBackend(server.url, transport=dataclasses.replace(FAST, timeout=0.05, retries=0))
        with server.lock:
            (failed,) = backend.generate([ASK], RULE, seed=0)
        assert isinstance(failed, Failure)
        assert "no answer after 1 tries" in failed.reason


def test_a_refusal_is_not_retried(engine: EngineBackend) -> None:
    with serving(Loopback(engine)) as server:
        backend = ServerBackend(server.url, transport=FAST)
        server.script = [(404, {"error": "no such model"})]
        (failed,) = backend.generate([ASK], RULE, seed=0)
        assert isinstance(failed, Failure)
        assert "HTTP 404" in failed.reason
        assert len(server.requests) == 1


def test_the_law_is_never_left_out(engine: EngineBackend) -> None:
    with serving(Loopback(engine, frozenset({"min_p", "seed", "logprobs"}))) as server:
        backend = ServerBackend(server.url, transport=FAST)
        (made,) = backend.generate([ASK], RULE, seed=0)
        assert isinstance(made, Generation)
        assert [n.split()[3] for n in backend.notes] == ["logprobs", "seed"]
        assert made.pieces != tuple(made.text), "words where no tokens are told"
        (failed,) = backend.generate([ASK], Rule(8, Sampling(min_p=0.1)), seed=0)
        assert isinstance(failed, Failure)
        assert "HTTP 400" in failed.reason


def test_key_and_rate(engine: EngineBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOC_API_KEY", "secret")
    with serving(Loopback(engine)) as server:
        backend = open_backend(f"{server.url}/v1#letters", rate=50.0, concurrency=8, pause=0.0)
        assert isinstance(backend, ServerBackend)
        import time

        began = time.monotonic()
        backend.generate([Request(f"q{i}", "abc") for i in range(6)], RULE, seed=0)
        assert time.monotonic() - began >= 5 / 50
        assert server.headers[-1]["Authorization"] == "Bearer secret"
        assert server.requests[-1]["model"] == "letters"


def test_an_experiment_by_url_goes_on_after_failures(engine: EngineBackend, tmp_path) -> None:
    settings = ExperimentSettings(Cuts("fraction", (0.0, 0.5)), 4, RULE)
    questions = [Question("q", "abc", raw=True)]
    with serving(Loopback(engine)) as server:
        backend = ServerBackend(server.url, transport=dataclasses.replace(FAST, retries=0), per_request=4)
        server.script = [(500, {})]
        first = run_experiment(backend, questions, RegexTask("[a-h]"), settings, journal=str(tmp_path))
        assert "no generation" in first.problems[0]
        second = run_experiment(backend, questions, RegexTask("[a-h]"), settings, journal=str(tmp_path))
        assert not [p for p in second.problems if "no generation" in p or "no continuations" in p]
        before = len(server.requests)
        third = run_experiment(backend, questions, RegexTask("[a-h]"), settings, journal=str(tmp_path))
        assert (third.runs, len(server.requests)) == (second.runs, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ServerBackend("localhost:8000"), "url = 'localhost:8000': expected an address such as"),
        (lambda: ServerBackend("http://h", "m", endpoint="other"), "endpoint = 'other'"),  # pyright: ignore
        (lambda: ServerBackend("http://h", "m", per_request=0), "per_request = 0"),
        (lambda: ServerBackend("http://127.0.0.1:9", transport=Transport(retries=0)), "a server that lists its models"),
        (lambda: ServerBackend("http://h", "m", transport=Transport(rate=0.0)), "rate = 0.0"),
        (lambda: ServerBackend("http://h", "m", transport=Transport(concurrency=0)), "concurrency = 0"),
        (lambda: ServerBackend("http://h", "m", transport=Transport(timeout=0)), "timeout = 0"),
        (lambda: ServerBackend("http://h", "m", transport=Transport(retries=-1)), "retries = -1"),
        (lambda: ServerBackend("http://h", "m", transport=Transport(pause=-1)), "pause = -1"),
        (
            lambda: open_backend("nowhere", rate=1.0),
            r"rate = 1\.0: expected no such option beside this model, which takes dtype and adapter",
        ),
        (
            lambda: open_backend("http://h#m", dtype="float32"),
            r"dtype = 'float32': expected no such option beside a server, which takes",
        ),
        (lambda: open_backend("http://h#m", tokenizer="/nowhere"), "a folder with tokenizer.json"),
        (lambda: open_backend("/nowhere"), "expected"),
    ],
)
def test_addresses_and_settings_that_are_none(call, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        call()
