"""Prompts with images."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from runtime_py.bundle import Bundle
from runtime_py.bundle_task import task_settings
from runtime_py.chat_template import ChatTemplate, Message
from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.guard import guarded
from runtime_py.images import digest_of, held, opened_image, processor_of
from runtime_py.images.processor import ImageProcessor
from runtime_py.message_parts import image_of, is_image
from runtime_py.prompts import Prompts
from runtime_py.token_ids import checked_ids
from runtime_py.tokenizer import TextTokenizer
from runtime_py.vision.engine import SeeingEngine

MARK = "<image>"
"""Stands for an image in a raw prompt, whatever the model's own mark is."""

_PROBE = "a7f3c9"
_KNOWN = 256
"""Images whose layout is kept."""


class SeeingPrompts(Prompts):
    """Prompts of a bundle whose task is ``see``."""

    sees = True

    def __init__(self, bundle: Bundle, program: SeeingEngine, tokenizer: TextTokenizer) -> None:
        super().__init__(bundle, program, tokenizer)
        self.seeing = program
        self.settings: Mapping[str, Any] = task_settings(bundle)
        self.processor = _processor(bundle, self.settings, tokenizer)
        self._image_id = self._id_of(self.processor.image_token)
        self._known: OrderedDict[tuple[str, str], tuple[str, list[int]]] = OrderedDict()
        self._known_lock = threading.Lock()  # a server writes prompts in several threads
        self._takes_parts: dict[int, bool] = {}

    def encoded(self, prompt: Any, *, raw: bool = True, images: Any = None) -> list[int]:
        if isinstance(prompt, str):
            pictures = _several(images)
            if pictures and prompt.count(MARK) < len(pictures) and self.processor.mark != MARK:
                text = prompt
            else:
                text = prompt.replace(MARK, self.processor.mark) if pictures else prompt
            found = self._replaced(text, [(each, "auto") for each in pictures])
            ids = self._rows_in(self.tokenizer.encode(found[0], raw=raw), found[1])
            return self._with_embeddings(ids)
        if images:
            raise ArgumentError("images go into a prompt that is a text, not token ids")
        return self._with_embeddings(checked_ids(prompt, None))

    def _with_images(
        self, template: ChatTemplate, messages: Sequence[Message]
    ) -> tuple[Sequence[Message], list[Any]]:
        pictures: list[Any] = []
        if not isinstance(messages, list | tuple):
            return messages, pictures
        return [self._message(template, each, pictures) for each in messages], pictures

    def _message(self, template: ChatTemplate, message: Any, pictures: list[Any]) -> Any:
        if not isinstance(message, Mapping):
            return message
        content = message.get("content")
        if isinstance(content, str):
            if not self._wants_parts(template):
                return message
            return {**message, "content": [{"type": "text", "text": content}]}
        if not isinstance(content, list | tuple):
            return message
        parts: list[Any] = []
        for part in content:
            if is_image(part):
                pictures.append(image_of(part))
                parts.append({"type": "image"})
            elif isinstance(part, str):
                parts.append({"type": "text", "text": part})
            elif isinstance(part, Mapping) and part.get("type") == "input_text":
                parts.append({**part, "type": "text"})
            else:
                parts.append(part)
        return {**message, "content": parts}

    def _wants_parts(self, template: ChatTemplate) -> bool:
        """Whether a template leaves out a content that is a text: many of them read lists of parts
        only, and would write nothing."""
        if id(template) not in self._takes_parts:
            found = []
            for content in (_PROBE, [{"type": "text", "text": _PROBE}]):
                try:
                    found.append(_PROBE in template.render([{"role": "user", "content": content}]))
                except BundleRuntimeError:
                    found.append(False)
            self._takes_parts[id(template)] = found == [False, True]
        return self._takes_parts[id(template)]

    def _tokens(self, text: str, images: Sequence[Any]) -> list[int]:
        found, rows = self._replaced(text, images)
        ids = self._rows_in(self.tokenizer.encode(found, raw=False), rows)
        return self._with_embeddings(ids)

    def _replaced(self, text: str, images: Sequence[tuple[Any, str]]) -> tuple[str, list[int]]:
        """(the text with what stands for each image, ids of all their rows)

        Raises:
            ArgumentError: there are not as many marks as images.
        """
        if not images:
            return text, []
        mark = self.processor.mark
        parts = text.split(mark)
        if len(parts) - 1 != len(images):
            raise ArgumentError(
                f"the prompt has {len(parts) - 1} marks {mark} for {len(images)} "
                f"image{'s' * (len(images) != 1)}",
                fix=f"write {MARK} in a raw prompt where each image belongs; a message must not "
                f"have the text {mark}",
            )
        made, rows = [parts[0]], []
        for number, ((source, detail), behind) in enumerate(zip(images, parts[1:], strict=True)):
            with_number = f"image {number + 1}" if len(images) > 1 else "the image"
            layout, ids = self._prepared(source, detail, with_number)
            made += [layout, behind]
            rows += ids
            self._check_room(len(rows), with_number if len(rows) == len(ids) else "the images")
        return "".join(made), rows

    def _prepared(self, source: Any, detail: str, name: str) -> tuple[str, list[int]]:
        """(what stands for an image, ids of its rows)"""
        source = held(source, self.image_limits)
        key = digest_of(source, self.image_limits), detail
        with self._known_lock:
            found = self._known.get(key)
        if found is None or not self.seeing.images.known(found[1]):
            image = opened_image(source, self.image_limits)
            prepared = self.processor(image, detail)
            self._check_room(sum(tile.tokens for tile in prepared.tiles), name)
            ids = [each for tile in prepared.tiles for each in self.seeing.images.add(tile)]
            found = prepared.text, ids
        with self._known_lock:
            self._known[key] = found
            self._known.move_to_end(key)
            while len(self._known) > _KNOWN:
                self._known.popitem(last=False)
        return found

    def _check_room(self, count: int, name: str) -> None:
        """Raises BundleRuntimeError before further images are read, each of which takes memory."""
        if count > self.seeing.context_length and not self.seeing.attention_sink:
            verb = "take" if name == "the images" else "takes"
            raise BundleRuntimeError(
                f"{name} {verb} {count} tokens; the context has {self.seeing.context_length}",
                fix='"detail": "low" in its part of the message, or an export with a larger '
                "runtime.context_length",
            )

    def _rows_in(self, ids: list[int], rows: list[int]) -> list[int]:
        """The ids with those of rows in the places of the image token."""
        if not rows:
            return ids
        places = [at for at, token in enumerate(ids) if token == self._image_id]
        if len(places) != len(rows):
            raise BundleRuntimeError(
                f"the prompt has {len(places)} tokens {self.processor.image_token} for "
                f"{len(rows)} rows of images",
                fix="a tokenizer with this token; a message must not have its text",
            )
        made = list(ids)
        for at, row in zip(places, rows, strict=True):
            made[at] = row
        return made

    def _id_of(self, token: str) -> int:
        found = self.tokenizer.added().get(token)
        if found is None:
            raise BundleRuntimeError(
                f"the tokenizer has no token {token}", where=self.tokenizer.path,
                fix="export the bundle again",
            )  # fmt: skip
        return found


def _several(images: Any) -> list[Any]:
    if images is None:
        return []
    return list(images) if isinstance(images, list | tuple) else [images]


def _processor(
    bundle: Bundle, settings: Mapping[str, Any], tokenizer: TextTokenizer
) -> ImageProcessor:
    file = bundle.file("processor")
    if file is None:
        raise BundleRuntimeError(
            "the bundle has no processor.json, which says how images are prepared",
            where=str(bundle.path), fix="export it again",
        )  # fmt: skip
    with guarded("the image processor cannot be read", where=str(file)):
        config = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(config, Mapping):
        raise BundleRuntimeError("processor.json must be an object", where=str(file))
    size = settings.get("image_size")
    names = {i: token for token, i in tokenizer.added().items()}
    return processor_of(
        config, tokens=settings.get("tokens_per_image"),
        size=None if size is None else (int(size[0]), int(size[1])),
        image_token=names.get(settings.get("image_token_id", -1)),
    )  # fmt: skip
