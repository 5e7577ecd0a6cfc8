"""Text to tokens and back, and chats to text, as a checkpoint's own files say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import as_array, checked_all, checked_kind
from sloc.contracts.extras import need

Message = Mapping[str, str]
"""A turn of a chat: ``role`` and ``content``."""


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer with its special tokens and chat template.

    Attributes:
        backend: of the ``tokenizers`` library.
        special: special tokens by name (``bos_token``, ``eos_token``, ...).
        template: the chat template (Jinja), or None.

    """

    backend: Any
    special: Mapping[str, str] = field(default_factory=dict)
    template: str | None = None

    @property
    def size(self) -> int:
        """How many tokens there are, special ones included."""
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Return the tokens of a text.

        Args:
            text: any text.
            special: whether to add what the tokenizer puts around a text (a beginning-of-text token).

        Raises:
            InvalidInput: no text.

        """
        checked_kind(text, "text", str, "a text")
        return list(self.backend.encode(text, add_special_tokens=special).ids)

    def decode(self, tokens: Sequence[int], *, skip_special: bool = True) -> str:
        """Return the text of tokens.

        Numbers that the tokenizer does not know add nothing: checkpoints pad their vocabulary, and a model can draw
        what no text is.

        Raises:
            InvalidInput: no sequence of whole numbers from 0 on.

        """
        return self._text(_numbers(tokens), skip_special)

    def _text(self, tokens: list[int], skip_special: bool) -> str:
        return str(self.backend.decode(tokens, skip_special_tokens=skip_special))

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Return, for each token, the text it adds to what stands before it; they join to the decoded text.

        A token that ends no character adds nothing; the one that completes it adds the character.

        Raises:
            InvalidInput: as :meth:`decode`.

        """
        out, done = [], ""
        ids = _numbers(tokens)
        for i in range(len(ids)):
            text = self._text(ids[: i + 1], False)
            whole = text.rstrip("\ufffd") if i + 1 < len(ids) else text
            grown = whole if whole.startswith(done) else text
            out.append(grown[len(done) :])
            done = grown
        return out

    def token(self, text: str) -> int | None:
        """Return the number of a token by its text, or None.

        Raises:
            InvalidInput: no text.

        """
        checked_kind(text, "text", str, "a text")
        number = self.backend.token_to_id(text)
        return None if number is None else int(number)

    def chat(self, messages: Sequence[Message], *, answer: str | None = None, template: str | None = None) -> str:
        """Return the text of a chat up to where the model answers, by the checkpoint's template.

        The template runs in Jinja's sandbox.  The text holds the template's own special tokens: encode it with
        ``special=False`` (or use :meth:`encode_chat`).

        Args:
            messages: the turns.
            answer: how the model's answer begins (a prefill), appended to the text.
            template: another template than the checkpoint's.

        Raises:
            InvalidInput: no template, or one that refuses the messages or needs a special token that is not there;
                messages that are no turns.

        """
        checked_all(messages, "messages", Mapping, "turns of a chat, each a mapping")
        checked_kind(answer, "answer", str, "a text, or None", optional=True)
        checked_kind(template, "template", str, "a template, or None", optional=True)
        source = self.template if template is None else template
        require(source is not None, "chat template", None, "a checkpoint with a chat template, or one given")
        text = _rendered(str(source), messages, dict(self.special))
        return text if answer is None else text + answer

    def encode_chat(
        self, messages: Sequence[Message], *, answer: str | None = None, template: str | None = None
    ) -> list[int]:
        """Return the tokens of :meth:`chat`; the template's special tokens become single tokens.

        Raises:
            InvalidInput: as :meth:`chat`, or the tokenizer lacks a special token that the template writes.

        """
        written = self.chat(messages, answer=answer, template=template)
        source = str(self.template if template is None else template)
        for name, text in self.special.items():
            used = name in source or text in source
            expected = f"a tokenizer that knows {name}, which the chat template writes"
            require(not used or self.token(text) is not None, "tokenizer.json", text, expected)
        return self.encode(written, special=False)


def _numbers(tokens: Any) -> list[int]:
    found = np.asarray(as_array(tokens, "tokens"))
    whole = found.ndim == 1 and (found.size == 0 or found.dtype.kind in "iu")
    inside = whole and bool(((found >= 0) & (found < 2**32)).all())
    require(inside, "tokens", tokens, "a sequence of tokens, whole numbers from 0 on")
    return [int(t) for t in found]


def _rendered(source: str, messages: Sequence[Message], special: dict[str, str]) -> str:
    need("lm", "jinja2", "a chat template")
    from jinja2 import TemplateError, Undefined, UndefinedError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Missing(Undefined):
        """A special token that is not there is an error; any other unset name is false, as templates expect."""

        def __str__(self) -> str:
            unsafe = self._undefined_exception is not UndefinedError
            if unsafe or str(self._undefined_name).endswith("_token"):
                self._fail_with_undefined_error()
            return ""

    def refuse(message: str) -> None:
        raise InvalidInput(f"messages: the chat template refuses them: {message}")

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, undefined=Missing, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    # Some templates print the date where they may; a fixed one keeps a run reproducible.
    given = dict(raise_exception=refuse, strftime_now=lambda form: "", add_generation_prompt=True, tools=None)
    try:
        template = environment.from_string(source)
        return template.render(messages=[dict(m) for m in messages], **given, **special)
    except TemplateError as error:
        raise InvalidInput(
            f"chat template: {error}: expected a template that these messages and tokens fill"
        ) from error


def read_tokenizer(folder: Path) -> Tokenizer | None:
    """Return the tokenizer of a checkpoint's folder, or None where it has none.

    Raises:
        InvalidInput: files that cannot be read.

    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        return None
    need("lm", "tokenizers", "a tokenizer")
    from tokenizers import Tokenizer as Backend

    try:
        backend = Backend.from_file(str(file))
    except Exception as error:  # the library raises plain Exception
        raise InvalidInput(f"{file.name}: {error}: expected a tokenizer of the tokenizers library") from error
    settings = read_json(folder / "tokenizer_config.json")
    special = {}
    for name, value in settings.items():
        text = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(text, str):
            special[name] = text
    return Tokenizer(backend, special, _template(folder, settings))


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """Return the chat template: a file of its own, or an entry of the configuration (a text, or several by name)."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    entry = settings.get("chat_template")
    if isinstance(entry, list):
        named = {item["name"]: item["template"] for item in entry}
        return named.get("default", next(iter(named.values()), None))
    return entry


def read_json(file: Path, required: bool = False) -> dict[str, Any]:
    """Return the object of a JSON file; empty where there is none, unless ``required``.

    Raises:
        InvalidInput: the file is missing but required, or holds no object.

    """
    if not file.is_file():
        require(not required, "path", str(file.parent), f"a checkpoint's folder, with {file.name}")
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{file.name}: {error}: expected JSON") from error
    require(isinstance(content, dict), file.name, content, "an object")
    return content
