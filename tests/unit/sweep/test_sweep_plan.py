"""Sweeps before any work: combinations, their order and names, refusals, launchers, the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_export import api
from llm_export.config.compose import Composer
from llm_export.errors import (
    InputError,
    LlmExportError,
    MissingDependencyError,
    RecipeError,
    StageError,
)
from llm_export.sweep import launchers
from llm_export.sweep.launchers import Kind, chosen_launcher, make_launcher, shares_machine
from llm_export.sweep.plan import Plan, make_plan
from llm_export.sweep.state import (
    DONE,
    FAILED,
    REFUSED,
    WAITING,
    Failure,
    Results,
    Row,
    SweepCommand,
    SweepFolder,
)
from llm_export.sweep.table import TOGETHER, document, screen, table


def plan_of(*overrides: str, source: str | None = None, config_dir: str | None = None) -> Plan:
    return make_plan(Composer(source, config_dir), overrides, Path("outputs/sweeps"))


def names_of(plan: Plan) -> list[str]:
    return [variant.row.name for variant in plan.variants]


# -- combinations ---------------------------------------------------------------------------


def test_every_combination_has_a_name_of_its_own() -> None:
    names = names_of(plan_of("model=tiny", "runtime=default,static", "checkpoint.path=/a/b,/c/d"))
    assert len(set(names)) == len(names) == 4
    assert "tiny_portable_none+checkpoint.path=a_b,runtime=default" in names


def test_a_name_that_is_given_does_not_make_variants_collide() -> None:
    plan = plan_of("name=mine", "model=tiny", "quant=none,8w")
    assert names_of(plan) == ["mine+quant=none", "mine+quant=8w"]
    assert plan.folder == Path("outputs/sweeps/mine+quant").absolute()
    alike = names_of(plan_of("model=tiny", "checkpoint.path=/a/b,a_b"))
    assert len(set(alike)) == 2


def test_the_folder_is_named_by_what_is_fixed_and_what_is_swept() -> None:
    assert plan_of("model=tiny", "quant=none,8w").folder.name == "tiny_portable+quant"
    recipe = "smollm2_135m_xnnpack_8da8w"
    name = plan_of("runtime.context_length=256,512", source=recipe).folder.name
    assert name == f"{recipe}+runtime.context_length"
    plan = plan_of("model=tiny", "quant=none,8w", "out=/x/y")
    assert plan.folder == Path("/x/y")
    assert [v.row.bundle for v in plan.variants] == [
        "/x/y/tiny_portable_none", "/x/y/tiny_portable_8w",
    ]  # fmt: skip


def test_variants_that_share_early_stages_follow_each_other() -> None:
    plan = plan_of("benchmark=off,quick", "backend=xnnpack,openvino", "quant=none,8da8w",
                   "model=tiny,smollm2_135m")  # fmt: skip
    rows = [v.row.swept for v in plan.variants if v.row.state == WAITING]
    for early, late in (("model", "quant"), ("quant", "backend"), ("backend", "benchmark")):
        pairs = [tuple(r[k] for k in ("model", "quant", "backend", "benchmark")) for r in rows]
        upto = ("model", "quant", "backend", "benchmark").index(late)
        heads = [pair[:upto] for pair in pairs]
        blocks = [h for i, h in enumerate(heads) if i == 0 or h != heads[i - 1]]
        assert len(blocks) == len(set(blocks)), (early, late)


def test_chains_of_backends_can_be_swept_over() -> None:
    plan = plan_of("model=tiny", "quant=none", "backend=openvino+xnnpack,portable")
    assert [v.row.swept["backend"] for v in plan.variants] == ["openvino+xnnpack", "portable"]
    first = plan.variants[0].composed
    assert first is None or first.recipe.backend.fallbacks == ["xnnpack"]


def test_illegal_pairs_are_refused_with_their_reason() -> None:
    plan = plan_of("model=tiny", "quant=8da8w,none", "backend=portable,xnnpack")
    states = {(r.swept["quant"], r.swept["backend"]): r for r in (v.row for v in plan.variants)}
    refused = states["8da8w", "portable"]
    assert refused.state == REFUSED
    assert refused.error is not None
    assert "portable cannot run 8da8w for a linear module" in refused.error.line
    assert refused.error.exit_code == 2
    others = [row.state for row in states.values() if row is not refused]
    assert others == [WAITING] * 3
    # One that breaks a group's own rule in some combination only.
    plan = plan_of("model=tiny", "runtime.context_length=64,1024", "runtime.prefill_length=512")
    assert [v.row.state for v in plan.variants] == [WAITING, REFUSED]
    assert plan.variants[1].row.error is not None
    assert "must be between 1 and context_length (64)" in plan.variants[1].row.error.line


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        (("quant=none,8dw8",), "there is no quant '8dw8'", "8da8w"),
        (("backend=portable,xnnpack+portble",), "there is no backend 'portble'", "'portable'"),
        (("quant.grup_size=32,64",), "there is no key 'quant.grup_size'", "'group_size'"),
        (("out=a,b",), "a sweep has one folder", "out=FOLDER"),
        (("quant=[,",), "", ""),
    ],
)
def test_what_is_wrong_in_itself_stops_the_sweep(
    words: tuple[str, ...], what: str, hint: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        plan_of("model=tiny", *words)
    assert what in str(caught.value)
    assert hint in str(caught.value)


# -- launchers ------------------------------------------------------------------------------

INSTALLED = ["basic", "joblib", "mine"]


def test_the_flag_and_hydras_word_choose_alike() -> None:
    own = ["quant=none,8w"]
    assert chosen_launcher(None, own, INSTALLED) == ("local", ["hydra/launcher=basic"], own)
    words = [*own, "hydra/launcher=mine", "hydra.launcher.x=2"]
    name, hydra, rest = chosen_launcher(None, words, INSTALLED)
    assert (name, hydra, rest) == ("mine", ["hydra/launcher=mine", "hydra.launcher.x=2"], own)
    assert chosen_launcher(None, ["hydra/launcher=basic"], INSTALLED)[0] == "local"
    assert not shares_machine("local")
    assert shares_machine("joblib")
    assert not shares_machine("submitit_slurm")


@pytest.mark.parametrize(
    ("name", "words", "what", "hint"),
    [
        ("jobib", [], "there is no launcher 'jobib'", "did you mean 'joblib'?"),
        (None, ["hydra/launcher=raye"], "there is no launcher 'raye'", "did you mean 'ray'?"),
        ("joblib", ["hydra/launcher=ray"], "two launchers are named", "name one"),
        (None, ["hydra/sweeper=basic"], "no other setting of Hydra", "hydra/launcher=NAME"),
        ("local", ["hydra.launcher.n_jobs=2"], "the local launcher has no settings", "n_jobs"),
    ],
)
def test_a_mistaken_launcher_is_named(
    name: str | None, words: list[str], what: str, hint: str
) -> None:
    with pytest.raises(RecipeError, match=what) as caught:
        chosen_launcher(name, words, INSTALLED)
    assert hint in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_missing_extra_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Kind("joblib", "hydra_plugins.no_such_launcher", "joblib")
    monkeypatch.setitem(launchers.LAUNCHERS, "joblib", lacking)
    with pytest.raises(MissingDependencyError, match="'joblib' is not installed") as caught:
        api.run_sweep(None, ["model=tiny", "quant=none,8w"], launcher="joblib")
    assert "pip install 'llm_export[joblib]'" in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_setting_that_the_launcher_lacks_is_named(tmp_path: Path) -> None:
    words = ["hydra/launcher=ray", "hydra.launcher.ray.inti={}"]
    with pytest.raises(RecipeError, match=r"no key 'hydra.launcher.ray.inti'") as caught:
        make_launcher("ray", Composer(), words, tmp_path, print)
    assert "'init'" in str(caught.value)


def test_an_option_file_cannot_make_hydra_build_objects(tmp_path: Path) -> None:
    folder = tmp_path / "hydra" / "launcher"
    folder.mkdir(parents=True)
    made = tmp_path / "made"
    (folder / "evil.yaml").write_text(f"_target_: os.mkdir\npath: {made}\n")
    composer = Composer(None, str(tmp_path))
    with pytest.raises(RecipeError, match=r"_target_: os\.mkdir"):
        make_launcher("evil", composer, ["hydra/launcher=evil"], tmp_path, print)
    assert not made.exists()


def test_local_jobs_run_one_after_another(tmp_path: Path) -> None:
    done: list[int] = []
    launch = make_launcher("local", Composer(), ["hydra/launcher=basic"], tmp_path, done.append)
    launch([2, 0])
    assert done == [2, 0]


# -- files ----------------------------------------------------------------------------------


def rows() -> list[Row]:
    def quality(kl: float, top1: float, perplexity: float) -> dict[str, float]:
        return {"mean_kl": kl, "top1_agreement": top1, "perplexity": perplexity, "entropy": 1.5}

    def row(name: str, results: Results, reused: str = "") -> Row:
        return Row(name, [], {"quant.group_size": name}, f"/{name}", DONE, 12.34, reused, None,
                   results)  # fmt: skip

    error = VerificationLike("the program is wrong | badly")
    return [
        row(
            "32",
            Results(
                1.25,
                100.4,
                9.0,
                "visible loss",
                0.5,
                2 * 10**9,
                True,
                values=quality(0.2, 0.8, 50.0),
            ),
        ),
        Row("8", [], {"quant.group_size": "8"}, "/8", FAILED, error=Failure.of(error)),
        row(
            "64",
            Results(2.5, 50.0, 8.0, "near-lossless", 1.0, 10**9, values=quality(0.01, 0.9, 49.0)),
            "bundle",
        ),
        row(
            "16",
            Results(2.0, 50.0, None, "near-lossless", values=quality(0.01, 0.9, 49.0)),
            "to lower",
        ),
    ]


class VerificationLike(LlmExportError):
    """An error with a bar in its text, which must not part a row of the table."""


def test_the_table_is_sorted_by_quality_then_size_and_marks_the_best() -> None:
    lines = table(rows()).splitlines()
    cells = [[c.strip() for c in line.strip("|").replace("\\|", "/").split("|")] for line in lines]
    assert cells[0] == ["group_size", "state", "verdict", "mean KL", "top-1", "ppl", "MB",
                        "TTFT s", "decode", "RAM MB", "s", "reused", "summary"]  # fmt: skip
    assert [row[0] for row in cells[2:]] == ["16", "64", "32", "8"]
    assert cells[2][2:] == ["near-lossless", "0.01*", "0.900*", "49*", "2.0", "–", "–", "–", "12",
                            "to lower", ""]  # fmt: skip
    assert cells[4][2:9] == ["visible loss", "0.2", "0.800", "50", "1.2*", "~0.5*", "~9.0*"]
    assert cells[5][:2] == ["8", "failed"]
    assert cells[5][-1] == "the program is wrong / badly"
    assert len({len(row) for row in cells}) == 1
    text = document("x", rows(), together=True)
    assert "3 of 4 variants are done." in text
    assert "Sorted by quality (mean KL), then by size" in text
    assert "~ marks speeds that other processes" in text
    assert TOGETHER in text
    assert TOGETHER not in document("x", rows(), together=False)


def test_the_terminals_table_fits_a_hundred_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    notes = screen(rows(), together=True).rpartition("\n\n")[2]
    assert max(map(len, notes.splitlines())) <= 60
    monkeypatch.setenv("COLUMNS", "200")
    text = screen(rows(), together=True)
    assert max(map(len, text.splitlines())) <= 100
    assert "8: the program is wrong | badly" in text.splitlines()
    assert "state" in text
    done = [row for row in rows() if row.state == DONE]
    assert "state" not in screen(done, together=False)


def test_a_sweep_of_one_value_marks_no_best() -> None:
    assert "*" not in table(rows()[:1])


def test_an_error_takes_one_line() -> None:
    several = RecipeError("2 problems:\nquant: a\n  fix: b\nruntime: c")
    assert Failure.of(several).line == "2 problems: quant: a"
    assert Failure.of(several).exit_code == 2
    stage = StageError("lower", "tiny", ValueError("first\nsecond"), None)
    assert Failure.of(stage).line == "stage 'lower' of tiny failed: ValueError: first"
    unknown = Failure.of(ZeroDivisionError("by zero"))
    assert (unknown.line, unknown.exit_code) == ("unexpected ZeroDivisionError: by zero", 1)


def test_a_folder_belongs_to_one_sweep_at_a_time(tmp_path: Path) -> None:
    held = SweepFolder(tmp_path / "s")
    with pytest.raises(MissingDependencyError, match="another sweep is working on this folder"):
        SweepFolder(tmp_path / "s")
    held.write(list(rows()), SweepCommand(None, (), "local"), "running", "text", "page")
    assert json.loads((tmp_path / "s" / "sweep.json").read_text())["variants"][0]["name"] == "32"
    held.release()
    SweepFolder(tmp_path / "s").release()
    with pytest.raises(InputError, match="the sweep's folder cannot be written"):
        SweepFolder(Path("/proc/x"))
