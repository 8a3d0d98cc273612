"""Compare the generic tier of the task ``see`` with transformers for a tiny random member of every
type of vision-language model.

Prints one line for each type: agrees or differs, with the largest relative error of the logits of a
text with two images in it, fed in chunks through the cache; refused, with the reason; or that no
tiny model could be built. Without arguments it writes the table in ``docs/generic-models.md``; give
model types to try only those.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import torch
from tiny_members import SIZES
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
from verdict_tables import tell

from llm_export.errors import LlmExportError
from llm_export.models.hf.auto_class import IMAGE_TEXT
from llm_export.models.hf.config import build_model, quietly
from llm_export.models.hf.text_facts import without_loading
from llm_export.models.hf.weights import random_model
from llm_export.models.vision.library.follow import followed, sizes_of
from llm_export.models.vision.library.model import LibraryVisionModel
from llm_export.models.vision.library.parts import split
from llm_export.models.vision.sequences import sequence_inputs, sequence_logits

BAR, CONTEXT, LARGEST, SIDE, IMAGE = 1e-4, 640, 160_000_000, 32, 300
OF_VISION = {
    r"image_size|input_size|img_size|force_image_size": SIDE, r"patch_size": 8,
    r"hidden_size|embed_dim|d_model|width": 48, r"intermediate_size|ffn_dim|mlp_dim": 96,
    r"num_hidden_layers|depth|num_layers|layers|encoder_layers": 2,
    r"num_attention_heads|num_heads|encoder_attention_heads|attention_heads|heads": 4,
    r"head_dim": 12, r"num_key_value_heads": 4, r"out_hidden_size|projection_dim": 64,
    r"mlp_ratio": 2, r"spatial_merge_size": 2,
}  # fmt: skip
OF_WHOLE = {r"(image|video)_token_(id|index)": IMAGE, r"hidden_size": 64, r"vocab_size": 320}
MEMBERS: dict[str, dict[str, Any]] = {
    "aya_vision": {"vision_config": {"model_type": "siglip_vision_model"}},
    "vipllava": {"vision_feature_layers": [-2, -1, 1]},
    "internvl": {"vision_config": {"image_size": [32, 32], "patch_size": [8, 8]}},
}
"""Type -> values that its defaults and the sizes leave out."""


class Verdict(NamedTuple):
    word: str
    reason: str = ""
    errors: tuple[float, ...] = ()


def _small(stated: dict[str, Any], sizes: dict[str, int]) -> dict[str, Any]:
    return {
        key: type(value)(size) for key, value in stated.items() for pattern, size in sizes.items()
        if re.fullmatch(pattern, key) and type(value) in (int, float)
    }  # fmt: skip


def tiny_config(model_type: str) -> Any:
    """The default config with every size that is known by name made small."""
    kind, more = CONFIG_MAPPING[model_type], MEMBERS.get(model_type, {})
    default = kind()
    text = default.get_text_config(decoder=True)
    made = _small({k: v for k, v in default.to_dict().items() if v is not None}, OF_WHOLE)
    for name in kind.sub_configs:
        part = getattr(default, name, None)
        if part is None or not hasattr(part, "to_dict"):
            continue
        small = _small(part.to_dict(), SIZES if part is text else OF_VISION)
        made[name] = {**small, "model_type": part.model_type, **more.get(name, {})}
        if part is text and "kv_lora_rank" in small:
            made[name]["num_key_value_heads"] = 4
    return kind(**{**made, **{k: v for k, v in more.items() if k not in kind.sub_configs}})


def verdict(model_type: str) -> Verdict:
    try:
        config = tiny_config(model_type)
        with torch.device("meta"):
            size = sum(p.numel() for p in build_model(config, IMAGE_TEXT).parameters())
        if size > LARGEST:
            return Verdict("no tiny member", f"{size / 1e6:.0f} million parameters")
        hf, _ = random_model(config, 0, IMAGE_TEXT)
    except Exception as error:  # the library checks configs in its own ways
        first = next(iter(str(error).splitlines()), "")
        return Verdict("no tiny member", f"{type(error).__name__}: {first}")
    try:
        images = without_loading(lambda device: _images(config))
        if images is None:
            return Verdict("refused", "an image cannot be followed before the model is loaded")
        with torch.no_grad(), quietly():
            return _compared(hf.eval(), images)
    except LlmExportError as error:
        return Verdict("refused", error.what)


def _images(config: Any) -> Any:
    outline = build_model(config, IMAGE_TEXT)
    return followed(outline, split(outline))


def _compared(hf: Any, images: Any) -> Verdict:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(1, 3, *images.image_size, generator=generator)
    plain = [i for i in torch.randint(3, 250, (12,), generator=generator).tolist() if i != IMAGE]
    shown = [images.image_token_id] * images.tokens_per_image
    ids = [*plain[:4], *shown, *plain[4:7], *shown, *plain[7:]]
    two = pixels[None] if images.stacked else pixels
    twice = torch.cat([two, two], dim=int(images.stacked))
    sizes = {k: torch.tensor([*v, *v]) for k, v in sizes_of(hf, pixels).items()}
    whole = hf(input_ids=torch.tensor([ids]), pixel_values=twice, use_cache=False, **sizes).logits[
        0
    ]
    model = LibraryVisionModel(
        hf, split(hf, images.unused), images, CONTEXT, "plain", all_logits=True
    )
    parts = [plain[:4], pixels, plain[4:7], pixels, plain[7:]]
    stepped = sequence_logits(model, sequence_inputs(model, parts), len(ids) - 4)
    error = float((stepped - whole).abs().max() / whole.abs().max())
    return Verdict("agrees" if error < BAR else "differs", "", (error,))


def row(model_type: str, found: Verdict) -> list[str]:
    return [f"{found.errors[0]:.0e}" if found.errors else _short(found.reason)]


def _short(reason: str) -> str:
    """The first clause, without what all reasons begin with and without an exception's text."""
    whole = " ".join(reason.replace("|", "/").split()).split("that sees: ")[-1]
    if needed := re.search(r"requires the (\w+) library", whole):
        return f"the package {needed[1]} is needed"
    if re.match(r"\w+Error: ", whole):
        return "the library builds none of these sizes"
    return re.split(r": |; |, which | \(\w+: ", whole)[0]


if __name__ == "__main__":
    tell(sorted(k for k, v in CONFIG_MAPPING.items() if v in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING),
         verdict, row, "table of see")  # fmt: skip
