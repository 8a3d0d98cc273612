"""Plugins: an installed distribution, broken ones, names that two claim, folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from folded import entries
from plugin_tools import Environment, distribution, install_example

IMPORT = "from llm_export.plugins import Plugin\n"
RECIPE = "helium_tiny_xnnpack_products_8da4w"
ORIGIN = "[llm_export_example 0.1.0]"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("example")
    return Environment(install_example(folder / "site"), folder / "home")


@pytest.fixture
def bare(tmp_path: Path) -> Environment:
    (tmp_path / "site").mkdir()
    return Environment(tmp_path / "site", tmp_path / "home")


# -- the example ---------------------------------------------------------------------------


BROUGHT = {
    "models": "helium_tiny",
    "backends": "xnnpack_products",
    "recipes": RECIPE,
    "families": "helium",
    "transforms": "order_channels",
    "checkpoints": "npz",
    "metrics": "top5",
    "plugins": "llm_export_example",
}


def test_what_it_brings_is_listed_with_its_origin(example: Environment) -> None:
    listed, heavy = example.many(*(f"ls {kind}" for kind in BROUGHT), f"show {RECIPE}")
    for name, done in zip(BROUGHT.values(), listed, strict=False):
        (line,) = [line for line in entries(done.stdout) if line.split()[:1] == [name]]
        assert line.endswith(ORIGIN)
        assert len(line.split()) > 4, "no description"
        assert done.stderr == ""
        others = [o for o in entries(done.stdout)[1:] if o != line]
        assert not any("[llm_export" in o for o in others)
    assert heavy == []


def test_show_validate_and_doctor_know_it(example: Environment) -> None:
    shown = example("show", RECIPE).stdout
    assert "  llm_export_example.conf/model/helium_tiny.yaml" in shown
    assert "- order_channels" in shown
    assert "tier: fast (family helium)" in example("validate", RECIPE).stdout
    said = example("doctor", "xnnpack_products").stdout
    assert "llm_export_example 0.1.0" in said
    assert "backend.options.also" in said
    found = json.loads(example("doctor", "--json").stdout)
    assert found["plugins"] == [
        {"name": "llm_export_example", "origin": "llm_export_example 0.1.0", "problems": []}
    ]
    assert found["packages"]["llm_export_example"] == "0.1.0"


OPTIONS = "runtime.transforms=[order_channels] +runtime.transform_options.order_channels"
MISTAKES = [
    ("runtime.transforms=[order_chanels]", "no transform 'order_chanels'", "'order_channels'"),
    ("runtime.transforms=[rotate]", "'rotate' is built in", "quant.rotate={}"),
    (f"{OPTIONS}.bi=mean", "'order_channels' has no option 'bi'", "did you mean 'by'?"),
    (f"{OPTIONS}.by=max", "by is one of largest, mean, not 'max'", "its options: by"),
    (f"{OPTIONS}=3", "options are a mapping, not '3'", "order_channels={}"),
    (
        "+runtime.transform_options.order_channels={}",
        "options of 'order_channels', which is not asked for",
        "runtime.transforms=[order_channels]",
    ),
    (
        "runtime.transforms=[order_channels,order_channels]",
        "'order_channels' is asked for twice",
        "fix:   runtime.transforms=[order_channels]",
    ),
]


def test_mistakes_with_its_transform_are_named(example: Environment) -> None:
    for words, what, fix in MISTAKES:
        said = example("validate", "model=tiny", *words.split())
        assert said.returncode == 2
        assert what in said.stderr
        assert fix in said.stderr


def test_its_source_is_part_of_the_keys_of_what_calls_it(
    example: Environment, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    shutil.copytree(example.site, site)
    changed = Environment(site, tmp_path / "home")
    code = site / "llm_export_example" / "channels.py"
    script = (
        "import json, sys\nfrom llm_export import api\n"
        "from llm_export.stage_cache.file_digests import Digests\n"
        "from llm_export.stage_cache.keys import KeyInputs, stage_keys\n"
        "from llm_export.stage_cache.source_digest import Sources\n"
        "from llm_export.resolve.recipe import resolve\n"
        "from llm_export.runner.stages import STAGES\n"
        f"recipes = [api.compose_recipe(s).recipe for s in ('{RECIPE}', None)]\n"
        "def keys():\n"
        "    around, sources = KeyInputs(None, Digests(None)), Sources()\n"
        "    return [stage_keys(STAGES, resolve(r), around, sources)[0] for r in recipes]\n"
        "before = keys()\n"
        "with open(sys.argv[1], 'a') as file:\n"
        "    file.write('\\n# changed\\n')\n"
        "print(json.dumps([*before, *keys()]))"
    )
    said = changed.python("-c", script, str(code)).stdout
    calls, other, calls_now, other_now = json.loads(said)
    assert all(calls[stage] != calls_now[stage] for stage in calls)
    before = list(other)[: list(other).index("verify")]
    assert [other[stage] for stage in before] == [other_now[stage] for stage in before]
    assert other["verify"] != other_now["verify"], "its metric is computed in every comparison"


PARITY = """
import json, sys
from pathlib import Path
import hf_models, numpy, torch
from parity_tools import check_all_forms
from llm_export import api
api.compose_recipe()  # activates plugins
reference = hf_models.build("helium", **hf_models.SIZES)
folder = hf_models.save(reference, Path("hf"))
numpy.savez(folder / "model.npz", **{n: t.numpy() for n, t in reference.state_dict().items()})
errors = {"safetensors": check_all_forms(reference, folder)}
(folder / "model.safetensors").unlink()
errors["npz"] = check_all_forms(reference, folder)
print(json.dumps(errors))
"""


@pytest.mark.slow
def test_its_family_and_reader_agree_with_transformers(example: Environment) -> None:
    done = example.python("-c", PARITY)
    assert done.returncode == 0, done.stderr[-3000:]
    errors = json.loads(done.stdout.splitlines()[-1])
    assert max(errors["safetensors"].values()) < 1e-4, errors
    assert max(errors["npz"].values()) < 1e-4, errors
    inspected = example("inspect", "hf/model.npz").stdout
    assert "npz, 1 file" in inspected
    assert "family helium" in inspected
    weights = example.home / "hf" / "model.npz"
    weights.write_bytes(weights.read_bytes()[:-2000])
    done = example("inspect", "hf/model.npz")
    assert done.returncode == 2
    assert "not a whole .npz file" in done.stderr


@pytest.mark.slow
def test_its_recipe_gives_a_proven_bundle(example: Environment) -> None:
    done = example("run", RECIPE, "verify.positions=200", "benchmark.enabled=false")
    assert done.returncode == 0, done.stderr[-3000:]
    bundle = example.home / "outputs" / RECIPE
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["proof"]["verified"] is True
    record = json.loads((bundle / "run.json").read_text())
    facts = {stage["name"]: stage["facts"] for stage in record["stages"]}
    assert facts["transform"]["transforms"] == {"fuse_projections": 8, "order_channels": 4}
    assert "17 delegates" in facts["lower"]["summary"]
    assert record["versions"]["llm_export_example"] == "0.1.0"
    assert "llm_export_example: 0.1.0" in (bundle / "recipe.lock.yaml").read_text()
    quality = manifest["proof"]["comparisons"]["quality"]
    assert quality["top1_agreement"] <= quality["top5_agreement"] <= 1
    assert "| top-5 agreement |" in (bundle / "report.md").read_text()
    assert f"{quality['top5_agreement']:.4f}" in (bundle / "report.html").read_text()
    assert f"{quality['top5_agreement']:.4f}" in done.stdout
    answer = example("generate", str(bundle), "--prompt", "Once", "--max-new-tokens", "4")
    assert answer.returncode == 0, answer.stderr


# -- broken ones ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("PLUGIN = {'backends': {}}\n", "it is a dict, not a llm_export.plugins.Plugin"),
        (IMPORT + "PLUGIN = Plugin(families={'x': 'nowhere.x:F'})\n", "not there: nowhere.x"),
        (IMPORT + "PLUGIN = Plugin(backends={'x': 'os'})\n", "not of the form module:attribute"),
        (IMPORT + "PLUGIN = Plugin(config='pkg://nowhere')\n", "pkg://nowhere is not there"),
        ("raise SystemExit('no licence')\n", "SystemExit: no licence"),
    ],
)
def test_a_broken_plugin_is_named_and_skipped(bare: Environment, text: str, error: str) -> None:
    distribution(bare.site, "bad_one", text)
    listed = bare("ls", "plugins")
    assert listed.returncode == 0
    (line,) = entries(listed.stdout)[1:]
    assert error in line
    assert line.endswith("[bad_one 1.0]")
    (warning,) = bare("validate", "model=tiny").stderr.splitlines()
    assert warning.startswith("warning: plugin bad_one 1.0 is skipped: ")
    assert error in warning


def test_a_module_that_fails_when_it_is_used_takes_nothing_with_it(bare: Environment) -> None:
    distribution(
        bare.site,
        "late_one",
        IMPORT + "PLUGIN = Plugin(backends={'late': 'late_code:BACKEND'}, "
        "checkpoint_readers={'late': 'late_code:READER'})\n",
    )
    (bare.site / "late_code.py").write_text("BACKEND = 3\nraise OSError('lib.so not found')\n")
    said = json.loads(bare("doctor", "--json").stdout)
    assert "portable" in {state["name"] for state in said["backends"]}
    (plugin,) = said["plugins"]
    assert "the backend 'late' cannot be used: OSError: lib.so not found" in plugin["problems"]
    done = bare("validate", "model=tiny", "quant=4w")  # surveys all backends for the fix
    assert "backend=" in done.stderr
    done = bare("validate", "model=tiny", "backend.name=late")
    assert done.returncode == 3
    assert "late_code:BACKEND of late_one 1.0" in done.stderr
    (bare.home / "x.what").write_text("")
    assert "unknown kind of checkpoint 'x.what'" in bare("inspect", "x.what").stderr
    (bare.site / "late_code.py").write_text(
        "from llm_export.checkpoints.base import Reader\nBACKEND = 3\n"
        "READER = Reader('.what', lambda path: 1 / 0, lambda path, config: None)\n"
    )
    done = bare("inspect", "x.what")
    assert done.returncode == 3
    assert "reader 'late' failed to look at it: ZeroDivisionError" in done.stderr
    assert "a int has no 'capabilities'" in bare("doctor").stdout


def test_a_metric_that_fails_is_told_before_a_run(bare: Environment) -> None:
    distribution(bare.site, "counts", IMPORT + "PLUGIN = Plugin(metrics={'count': 'counts_it:M'})")
    (bare.site / "counts_it.py").write_text("M = 3\n")
    done = bare("validate", "model=tiny")
    assert done.returncode == 3
    assert "the metric 'count' cannot be used: a int has no 'name'" in done.stderr
    assert bare("validate", "model=tiny", "verify=off").returncode == 0


# -- names that two claim ------------------------------------------------------------------


def test_a_name_that_two_plugins_claim_is_an_error_with_both_origins(bare: Environment) -> None:
    for name in ("one", "two"):
        text = IMPORT + "PLUGIN = Plugin(transforms={'shuffle': 'json:loads'})\n"
        distribution(bare.site, name, text)
    done = bare("validate", "model=tiny")
    assert done.returncode == 2
    assert "two providers claim the transform 'shuffle'" in done.stderr
    assert "where: one 1.0 and two 1.0" in done.stderr
    listed = bare("ls", "plugins")
    assert listed.returncode == 0
    assert "clash: the transform 'shuffle'" in listed.stdout
    assert "one 1.0 and two 1.0 both bring" in bare("doctor").stdout


def test_a_plugin_cannot_replace_what_ships(bare: Environment) -> None:
    distribution(bare.site, "one", IMPORT + "PLUGIN = Plugin(families={'llama': 'json:loads'})\n")
    done = bare("show", "model=tiny")
    assert done.returncode == 2
    assert "the model family 'llama'" in done.stderr
    assert "where: llm_export and one 1.0" in done.stderr


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("model/tiny.yaml", "model option 'tiny'"),
        ("smollm2_135m_xnnpack_8da8w.yaml", "recipe 'smollm2_135m_xnnpack_8da8w'"),
        ("recipes/export_base.yaml", "recipe 'export_base'"),
        ("schema/recipe.yaml", "schema option 'recipe'"),
    ],
)
def test_a_file_of_a_folder_does_not_shadow_one_that_ships(
    bare: Environment, file: str, what: str
) -> None:
    folder = bare.home / "mine"
    (folder / file).parent.mkdir(parents=True)
    (folder / file).write_text("name: tiny\n")
    done = bare("show", "model=tiny", "--config-dir", str(folder))
    assert done.returncode == 2
    assert f"two providers claim the {what}" in done.stderr
    assert f"where: llm_export and {(folder / file).parent if 'recipes' in file else folder}" in (
        done.stderr
    )
    listed = bare("ls", "plugins", "--config-dir", str(folder))
    assert listed.returncode == 0
    assert f"clash: the {what}" in listed.stdout


def test_options_beside_a_recipe_file_count_and_the_recipe_itself_does_not(
    bare: Environment,
) -> None:
    name = "smollm2_135m_xnnpack_8da8w.yaml"
    (bare.home / name).write_text("defaults: [export_base, override model: tiny, _self_]\n")
    assert bare("show", f"./{name}").returncode == 0
    (bare.home / "quant").mkdir()
    (bare.home / "quant" / "none.yaml").write_text("name: none\n")
    done = bare("show", f"./{name}")
    assert "two providers claim the quant option 'none'" in done.stderr


# -- folders -------------------------------------------------------------------------------

CODE = IMPORT + "PLUGIN = Plugin(backends={'mine': 'my_backend:BACKEND'})\n"
BACKEND = """
from dataclasses import replace
from llm_export.backends.portable import BACKEND as PORTABLE, SUPPORT
BACKEND = replace(PORTABLE, name="mine", description="Mine")
"""


def fill(folder: Path) -> Path:
    for file, text in {
        "backend/mine.yaml": "name: mine\ndescription: Mine\n",
        "recipes/tiny_mine.yaml": "defaults: [export_base, override backend: mine, _self_]\n",
        "plugin.py": CODE,
        "my_backend.py": BACKEND,
    }.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    return folder.resolve()


def test_the_users_own_folder_counts_without_being_named(bare: Environment) -> None:
    folder = fill(bare.config)
    assert f"[{folder}]" in entries(bare("ls", "backends").stdout.split("mine ")[1])[0]
    listed = entries(bare("ls", "recipes").stdout)
    assert any(f"[{folder / 'recipes'}]" in each for each in listed)
    done = bare("validate", "tiny_mine")
    assert "sound" in done.stdout
    assert done.stderr == ""
    assert "backends: mine" in bare("ls", "plugins").stdout


def test_code_of_another_folder_runs_only_where_it_is_trusted(bare: Environment) -> None:
    folder = fill(bare.home / "downloaded")
    words = ("validate", "tiny_mine", "--config-dir", "downloaded")
    done = bare(*words)
    assert done.returncode == 2
    assert f"LLM_EXPORT_TRUST={folder} allows it" in done.stderr
    assert "there is no backend 'mine'" in done.stderr
    done = bare(*words, LLM_EXPORT_TRUST=str(folder))
    assert "sound" in done.stdout
    assert done.stderr == ""
