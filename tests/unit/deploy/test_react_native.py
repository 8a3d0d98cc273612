"""The app for react-native-executorch: what is refused, what is written, and that it is sound."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from chat_templates import TEMPLATES

from llm_export import api
from llm_export.deploy.base import Settings
from llm_export.deploy.react_native.conversation import Session, session_of, with_tokens
from llm_export.deploy.react_native.obstacles import obstacles
from llm_export.deploy.react_native.project import make
from llm_export.errors import BundleError, RecipeError
from runtime_py.bundle import Bundle
from runtime_py.chat_template import ChatTemplate

BOS = "{{ bos_token }}" + TEMPLATES["chatml"]


def variant(
    bundle: Path, folder: Path, config: dict[str, Any] | None = None, **manifest: Any
) -> Bundle:
    """The bundle with other keys in tokenizer_config.json, of which None removes one, and in its
    manifest."""
    source = Bundle.open(bundle)
    folder.mkdir(exist_ok=True)
    for name in source.manifest["files"]:
        if name != "tokenizer_config.json":
            (folder / name).symlink_to(source.path / name)
    former = json.loads((source.path / "tokenizer_config.json").read_text())
    body = {k: v for k, v in {**former, **(config or {})}.items() if v is not None}
    (folder / "tokenizer_config.json").write_text(json.dumps(body))
    return Bundle(folder, {**source.manifest, **manifest})


def test_every_file_of_the_app(quantized_bundle: Path, tmp_path: Path) -> None:
    app = tmp_path / "app"
    done = api.deploy(quantized_bundle, "react-native", app, name="My-Chat")
    assert done.steps[0] == "npm install"
    manifest = Bundle.open(quantized_bundle).manifest
    package = json.loads((app / "package.json").read_text())
    assert package["name"] == "my-chat"
    assert package["react-native-executorch"] == {"backends": ["xnnpack"], "libs": []}
    pinned = {**package["dependencies"], **package["devDependencies"]}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pinned.values())
    assert (app / package["main"]).is_file()
    expo = json.loads((app / "app.json").read_text())["expo"]
    assert expo["android"]["package"] == expo["ios"]["bundleIdentifier"] == "com.example.mychat"
    assert json.loads((app / "tsconfig.json").read_text())["compilerOptions"]["strict"]
    facts = json.loads(
        (app / "src/facts.ts").read_text().rpartition("Facts = ")[2].removesuffix(";\n")
    )
    assert facts["contextLength"] == manifest["program"]["context_length"]
    assert facts["turnTokens"] == manifest["tokenizer"]["stop_strings"]
    for source, copy in (("model.pte", "model.pte"), ("tokenizer.json", "tokenizer.bin")):
        assert (app / "assets" / copy).read_bytes() == (quantized_bundle / source).read_bytes()
    imports = re.findall(r"'\.\./(assets/[\w.]+)'", (app / "src/modelFiles.ts").read_text())
    assert len(imports) == 3
    assert all((app / each).is_file() for each in imports)
    taken = re.findall(r"assetExts\.push\((.*)\)", (app / "metro.config.js").read_text())[0]
    assert {Path(each).suffix[1:] for each in imports} == {*re.findall(r"\w+", taken)}
    rendered = ChatTemplate(json.loads((app / imports[2]).read_text())["chat_template"], {})
    example = manifest["chat"]["example"]
    assert rendered.render(example["messages"]) == example["text"]


def test_an_app_that_downloads_its_model(quantized_bundle: Path, tmp_path: Path) -> None:
    options = {"url": "https://example.com/it/", "id": "org.example.a_b", "version": "0.10"}
    done = api.deploy(quantized_bundle, "react_native", tmp_path / "app", options=options)
    assert done.notes == (
        "copy model.pte and tokenizer.json of the bundle to https://example.com/it",
    )
    assert [f.name for f in (tmp_path / "app/assets").iterdir()] == ["tokenizer_config.bin"]
    source = (tmp_path / "app/src/modelFiles.ts").read_text()
    assert 'const base = "https://example.com/it";' in source
    expo = json.loads((tmp_path / "app/app.json").read_text())["expo"]
    assert (expo["android"]["package"], expo["ios"]["bundleIdentifier"]) == (
        "org.example.a_b", "org.example.a-b",
    )  # fmt: skip


def test_what_the_user_should_know(quantized_bundle: Path) -> None:
    chat = {"engines": {"huggingface_jinja": {"same": 7, "of": 8, "failed": ["tools"]}}}
    backends = {"executorch": "1.5.1", "backends": ["MLXBackend"], "operators": []}
    manifest = {**Bundle.open(quantized_bundle).manifest, "chat": chat, "requires": backends}
    hot = {**manifest, "sampling": {**manifest["sampling"], "temperature": 1.5,
                                         "presence_penalty": 0.5}}  # fmt: skip
    project = make([Bundle(quantized_bundle, hot)], Settings("Chat"))
    assert project.notes == (
        "MLXBackend is on iOS alone: so is this app",
        "the app samples by temperature alone: without presence_penalty=0.5, "
        "temperature=1.5 above 1",
        "the library's template engine renders other texts than Jinja2 for 1 of 8 conversations: "
        "tools",
    )
    assert '"temperature": 1.0' in str(project.files["src/facts.ts"])
    assert json.loads(project.files["package.json"])["react-native-executorch"]["backends"] == [
        "mlx"
    ]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version", "0.1", "no project for react-native-executorch 0.1"),
        ("url", "http://x", "downloads over https"),
        ("url", 'https://x/"; evil()', "downloads over https"),
        ("url", "https://x/`${a}`", "downloads over https"),
        ("id", "chat", "an app's identifier has"),
        ("id", 'a.b"', "an app's identifier has"),
        ("id", "org.example.new", "'new' is a word of the language"),
    ],
)
def test_options_that_cannot_be(
    key: str, value: str, message: str, quantized_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        api.deploy(quantized_bundle, "react-native", tmp_path / "app", options={key: value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "manifest", "message"),
    [
        ({"chat_template": None}, {}, "no chat_template"),
        ({"chat_template": [{"name": "default", "template": "x"}]}, {}, "no chat_template"),
        ({"chat_template": "{% if %}"}, {}, "the chat template is not valid"),
        ({"chat_template": "{{ messages[-1].content }}"}, {}, "writes a question otherwise"),
        ({"eos_token": None}, {}, "no eos_token"),
        ({}, {"adapters": {"a": "adapters/a.pt"}}, "weights of an adapter"),
        ({}, {"program": {"kv_cache": False}}, "KV cache is not inside"),
    ],
)
def test_what_the_library_cannot_load(
    config: dict[str, Any], manifest: dict[str, Any], message: str, quantized_bundle: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    assert obstacles(Bundle.open(quantized_bundle)) == ()
    found = obstacles(variant(quantized_bundle, tmp_path / "b", config, **manifest))
    assert [each for each in found if message in each.what and each.fix]


def test_a_backend_that_the_library_lacks(quantized_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(quantized_bundle, tmp_path / "bundle", symlinks=True)
    text = (bundle / "manifest.json").read_text().replace("XnnpackBackend", "OpenvinoBackend")
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match="no OpenvinoBackend, only CoreMLBackend, MLXBackend"):
        api.deploy(bundle, "react-native", tmp_path / "app")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (TEMPLATES["chatml"], Session(system=True, reset_on_turn=False)),
        (with_tokens(BOS, {"bos_token": "<s>"}), Session(True, False)),
        # Reasoning leaves earlier turns: what was fed is no longer the beginning.
        ("{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' and not loop.last %}"
         "{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}{% endfor %}",
         Session(True, True)),
        ("{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('none') }}"
         "{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}", Session(False, False)),
        ("{% for m in messages if loop.last %}{{ m.content }}{% endfor %}", None),
        ("{{ messages | map(attribute='content') | reverse | join }}", None),
    ],
)  # fmt: skip
def test_how_a_template_is_used(source: str, expected: Session | None) -> None:
    assert session_of(source) == expected


def test_a_template_without_its_special_tokens() -> None:
    """The library passes none, and a Jinja renders what is not there as nothing."""
    tokens = {"bos_token": '<s "\\\n>', "eos_token": "</s>"}
    messages = [{"role": "user", "content": "Hello"}]
    expected = ChatTemplate(BOS, tokens).render(messages)
    assert expected.startswith(tokens["bos_token"])
    assert ChatTemplate(with_tokens(BOS, tokens), {}).render(messages) == expected
    # A line break at the beginning is the text's.
    below = ChatTemplate(with_tokens(f"\n{BOS}", tokens), {}).render(messages)
    assert below == ChatTemplate(f"\n{BOS}", tokens).render(messages)


def node_modules(app: Path) -> Path:
    """The packages of an app, installed once for a package.json; install scripts, which fetch
    native code for phones, are not run."""
    if shutil.which("npm") is None:
        pytest.skip("no npm here")
    text = (app / "package.json").read_text()
    body = json.loads(text)
    del body["name"]
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
    place = Path(tempfile.gettempdir(), f"llm_export_npm_{os.getuid()}_{digest}")
    if not (place / "node_modules").is_dir():
        with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
            Path(scratch, "package.json").write_text(text)
            words = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(words, cwd=scratch, capture_output=True, text=True, timeout=900)
            if done.returncode:
                pytest.skip(f"npm cannot install: {done.stderr[-300:]}")
            place.mkdir(exist_ok=True)
            with contextlib.suppress(OSError):  # another process was first
                Path(scratch, "node_modules").rename(place / "node_modules")
    return place / "node_modules"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.slow, id="assets"),
        # Of the sources, src/modelFiles.ts alone is another.
        pytest.param({"url": "https://example.com/it"}, marks=pytest.mark.release, id="url"),
    ],
)
def test_the_types_are_those_of_the_library(
    options: dict[str, str], quantized_bundle: Path, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    api.deploy(quantized_bundle, "react-native", app, options=options)
    modules = node_modules(app)
    (app / "node_modules").symlink_to(modules)

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [modules / ".bin/tsc", "--noEmit"], cwd=app, capture_output=True, text=True, timeout=300
        )

    done = check()
    assert (done.returncode, done.stdout) == (0, "")
    file = app / "src/useConversation.ts"
    file.write_text(file.read_text().replace("maxNewTokens: facts", "maxTokens: facts"))
    assert "maxTokens" in check().stdout


_SESSION = """\
import { readFileSync } from 'node:fs';
import { Template } from '@huggingface/jinja';
const { config, messages } = JSON.parse(readFileSync(0, 'utf8'));
const template = new Template(config.chat_template);
const text = (count, add_generation_prompt) =>
  template.render({ tools: undefined, messages: messages.slice(0, count), add_generation_prompt });
const parts = [];
for (let n = 1; n <= messages.length; n++) {
  const [before, after] = [n > 1 ? text(n - 1, false) : '', text(n, false)];
  if (!after.startsWith(before)) throw new Error(`not monotonic at ${n}`);
  parts.push(after.slice(before.length));
}
const whole = text(messages.length, true);
parts.push(whole.slice(text(messages.length, false).length));
process.stdout.write(JSON.stringify({ whole, fed: parts.join('') }));
"""
"""What ``chatPreprocessor`` of the library does in the turns of a conversation."""


@pytest.mark.release
def test_metro_bundles_the_app_with_its_model(quantized_bundle: Path, tmp_path: Path) -> None:
    """Each module and asset is found, and functions of other threads are compiled as such."""
    app = tmp_path / "app"
    api.deploy(quantized_bundle, "react-native", app)
    # Metro takes no files from outside of the folder.
    shutil.copytree(node_modules(app), app / "node_modules", symlinks=True, copy_function=os.link)
    done = subprocess.run(
        ["npx", "expo", "export", "--platform", "android", "--no-bytecode", "--output-dir", "out"],
        cwd=app, capture_output=True, text=True, timeout=1200,
        env={**os.environ, "CI": "1", "EXPO_OFFLINE": "1", "EXPO_NO_TELEMETRY": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = json.loads((app / "out/metadata.json").read_text())["fileMetadata"]["android"]
    assert "__workletHash" in (app / "out" / made["bundle"]).read_text()
    sizes = {(app / "out" / each["path"]).stat().st_size for each in made["assets"]}
    assert sizes == {file.stat().st_size for file in (app / "assets").iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("template", [None, BOS], ids=["own", "bos"])
def test_the_template_engine_of_the_library_renders_the_same(
    template: str | None, quantized_bundle: Path, tmp_path: Path
) -> None:
    bundle = Bundle.open(quantized_bundle)
    tokens = {**bundle.manifest["tokenizer"]["special_tokens"], "bos_token": "<s>"}
    app = tmp_path / "app"
    api.deploy(quantized_bundle, "react-native", app)
    (app / "node_modules").symlink_to(node_modules(app))
    config = json.loads((app / "assets/tokenizer_config.bin").read_text())
    messages = bundle.manifest["chat"]["example"]["messages"]
    expected = bundle.manifest["chat"]["example"]["text"]
    if template is not None:
        config["chat_template"] = with_tokens(template, tokens)
        expected = ChatTemplate(template, tokens).render(messages)
    (app / "session.mjs").write_text(_SESSION)
    done = subprocess.run(
        ["node", "session.mjs"], cwd=app, capture_output=True, text=True, timeout=300,
        input=json.dumps({"config": config, "messages": messages}),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"whole": expected, "fed": expected}
