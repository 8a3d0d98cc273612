"""One addition of each kind that CONTRIBUTING's table names, and how it shows that it is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from contributing_files import (
    BACKEND_FOUND,
    ENGINE,
    EVALUATION,
    FAMILY_FOUND,
    METRIC,
    RUNTIME,
    STAGE,
    TOOL_FORMAT,
)

REPO = Path(__file__).parents[1]


def like(path: str, *changes: tuple[str, str]) -> str:
    """The text of a file of the tree, changed."""
    text = (REPO / path).read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, f"{path}: {old}"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Sample:
    """An addition.

    Attributes:
        files: new files.
        lines: file -> (the line before, what follows it); the end of the file without a line.
        found: Python that raises unless it is found; see ``contributing_files.HELPERS``.
    """

    found: str
    files: dict[str, str] = field(default_factory=dict)
    lines: dict[str, tuple[str, str]] = field(default_factory=dict)


_PACKAGE = "llm_export"

SAMPLES = {
    "a recipe": Sample(
        "assert 'sample_portable_none' in Composer().options('')\n"
        "assert compose(name='sample_portable_none').backend.name == 'portable'",
        {"recipes/sample_portable_none.yaml": "defaults: [export_base, _self_]\n"},
    ),
    "an option": Sample(
        "assert Composer().describe('quant', 'sample')[0] == 'a sample'\n"
        "assert compose('quant=sample').quant.group_size == 64",
        {"conf/quant/sample.yaml": "name: sample\ndescription: a sample\ngroup_size: 64\n"},
    ),
    "a model family": Sample(
        FAMILY_FOUND,
        {
            f"{_PACKAGE}/models/families/sample.py": like(
                f"{_PACKAGE}/models/families/qwen3.py", ('NAME = "qwen3"', 'NAME = "sample"')
            )
        },
        {
            f"{_PACKAGE}/models/families/__init__.py": (
                '    "qwen3": "qwen3:FAMILY",\n', '    "sample": "sample:FAMILY",\n'),
            "tests/family_models.py": (
                "MEMBERS: dict[str, dict[str, dict[str, Any]]] = {\n",
                '    "sample": {"one": {}},\n'),
        },
    ),
    "a task": Sample(
        "from llm_export.models.task import MODEL_TASKS\n"
        "assert MODEL_TASKS.get('sample').name == 'sample'\n"
        "assert 'sample' in [row.name for row in api.ls('tasks')[0].rows()]",
        {f"{_PACKAGE}/tasks/sample.py": like(
            f"{_PACKAGE}/tasks/embed.py", ('name="embed"', 'name="sample"'))},
        {f"{_PACKAGE}/models/task.py": (
            'MODEL_TASKS.take_from_plugins("tasks")\n',
            'MODEL_TASKS.register("sample", "llm_export.tasks.sample:TASK")\n')},
    ),
    "a family of another task than `generate`": Sample(
        "from llm_export.models.programs.families import TASK_FAMILIES\n"
        "assert TASK_FAMILIES.get('sample').task == 'embed'\n"
        "assert compose('model.family=sample').model.family == 'sample'",
        {f"{_PACKAGE}/models/encoders/sample.py": "from llm_export.models.encoders.bert import "
         "BERT\n\nFAMILY = BERT\n"},
        {f"{_PACKAGE}/models/programs/families.py": (
            'TASK_FAMILIES.take_from_plugins("task_families")\n',
            'TASK_FAMILIES.register("sample", "llm_export.models.encoders.sample:FAMILY")\n')},
    ),
    "a family of models that see": Sample(
        "from llm_export.models.vision.families import VISION_FAMILIES\n"
        "assert VISION_FAMILIES.get('sample').name == 'sample'",
        {f"{_PACKAGE}/models/vision/families/sample.py": like(
            f"{_PACKAGE}/models/vision/families/llava.py", ('name="llava"', 'name="sample"'))},
        {f"{_PACKAGE}/models/vision/families/__init__.py": (
            '    "llava": "llava:LLAVA",\n', '    "sample": "sample:LLAVA",\n')},
    ),
    "a vision tower": Sample(
        "from llm_export.models.vision.towers import TOWERS\n"
        "assert TOWERS.get('sample').__name__ == 'Tower'",
        {f"{_PACKAGE}/models/vision/towers/sample.py": "class Tower: ...\n"},
        {f"{_PACKAGE}/models/vision/towers/__init__.py": (
            "", 'TOWERS.register("sample", f"{_HERE}.sample:Tower")\n')},
    ),
    "a component": Sample(
        "from llm_export.models.components.registry import NORMS\n"
        "assert NORMS.get('sample').__name__ == 'Norm'",
        {f"{_PACKAGE}/models/components/sample.py": "class Norm: ...\n"},
        {f"{_PACKAGE}/models/components/registry.py": (
            "", 'NORMS.register("sample", f"{_HERE}.sample:Norm")\n')},
    ),
    "a token mixer other than attention": Sample(
        "from llm_export.models.components.registry import MIXERS\n"
        "from llm_export.models.components.mixers.state import Mixer\n"
        "from llm_export.models.mixer_config import SampleConfig\n"
        "assert issubclass(MIXERS.get(SampleConfig().kind), Mixer)",
        {
            f"{_PACKAGE}/models/components/mixers/sample.py":
                "from llm_export.models.components.mixers.state import Mixer\n\n\n"
                "class SampleMixer(Mixer): ...\n"
        },
        {
            f"{_PACKAGE}/models/mixer_config.py": (
                "",
                "\n\n@dataclass(frozen=True)\nclass SampleConfig:\n"
                '    kind: str = "sample"\n'),
            f"{_PACKAGE}/models/components/registry.py": (
                'MIXERS.register("mamba2", f"{_HERE}.mixers.mamba2:Mamba2")\n',
                'MIXERS.register("sample", f"{_HERE}.mixers.sample:SampleMixer")\n'),
        },
    ),
    "an attention or cache kind": Sample(
        "from llm_export.models.components.attention_cores import KINDS\n"
        "assert KINDS['sample'].core.__name__ == 'SampleCore'",
        {f"{_PACKAGE}/models/components/attention_cores/sample.py": "class SampleCore: ...\n"},
        {f"{_PACKAGE}/models/components/attention_cores/__init__.py": (
            "KINDS = {\n",
            '    "sample": AttentionKind(SlotPlanner, __import__("importlib").import_module('
            '".sample", __name__).SampleCore),\n')},
    ),
    "a checkpoint format": Sample(
        "from llm_export.checkpoints.readers import READERS\n"
        "assert READERS.get('sample').files(pathlib.Path()) == []",
        {
            f"{_PACKAGE}/checkpoints/sample.py":
                "class Reader:\n"
                "    def files(self, path):\n        return []\n\n"
                "    def fits(self, path):\n        return False\n\n"
                "    def open(self, path): ...\n\n\n"
                "READER = Reader()\n"
        },
        {f"{_PACKAGE}/checkpoints/readers.py": (
            '    "torchtune": "torchtune_file",\n', '    "sample": "sample",\n')},
    ),
    "a model definition": Sample(
        "from llm_export.models.definitions import DEFINITIONS\n"
        "assert DEFINITIONS.get('sample') == 'a definition'",
        {f"{_PACKAGE}/models/definitions/sample.py": 'DEFINITION = "a definition"\n'},
        {f"{_PACKAGE}/models/definitions/__init__.py": (
            "",
            'DEFINITIONS.register("sample",'
            ' "llm_export.models.definitions.sample:DEFINITION")\n'
        )},
    ),
    "a scheme": Sample(
        "rule = 'quant.rules=[{kind: linear, scheme: sample7w}]'\n"
        "assert problems(compose('backend=portable', rule)) == []\n"
        "assert 'cannot run sample7w' in problems(compose('backend=coreml', rule))[0]",
        {},
        {
            f"{_PACKAGE}/quant/schemes.py": (
                '        Scheme("none", 32, "float32", flow=Flow.none),\n',
                '        Scheme("sample7w", 7, "7-bit weights"),\n'),
            f"{_PACKAGE}/backends/portable.py": (
                "_LINEAR = {\n",
                '    "sample7w": Support(per_channel=True, groups=0, delegated=False),\n'),
        },
    ),
    "a rounding method": Sample(
        "words = ['backend=xnnpack', 'quant=8da8w', 'quant.rounding.method=sample']\n"
        "assert problems(compose(*words)) == []",
        {f"{_PACKAGE}/quant/rounding/sample.py": like(f"{_PACKAGE}/quant/rounding/minmax.py")},
        {f"{_PACKAGE}/quant/rounding/__init__.py": (
            "", 'ROUNDERS.register("sample", "llm_export.quant.rounding.sample:ROUNDER")\n')},
    ),
    "a backend": Sample(
        BACKEND_FOUND,
        {
            f"{_PACKAGE}/backends/sample.py": like(
                f"{_PACKAGE}/backends/portable.py",
                ('needs=(Module("executorch.exir"),)',
                 'needs=(Package("sample-sdk>=1", "sample"),),\n    options=Options,\n'
                 '    experimental="new"'),
                ('name="portable"', 'name="sample"'),
                ('description="ExecuTorch\'s reference kernels on any CPU; slow"',
                 'description="A sample"'),
                ("import Module\n", "import Package\n"),
                ("BACKEND = ",
                 "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Options:\n"
                 "    level: int = 1\n    fast: bool = False\n\n\nBACKEND = "),
            )
        },
        {
            f"{_PACKAGE}/backends/__init__.py": (
                'register_backend("portable", "llm_export.backends.portable")\n',
                'register_backend("sample", "llm_export.backends.sample")\n'),
            "setup.cfg": ("[options.extras_require]\n", "sample =\n    sample-sdk>=1\n"),
        },
    ),
    "a transform": Sample(
        "words = ['runtime.transforms=[sample]']\n"
        "assert problems(compose('runtime.transforms=[sample]')) == []\n"
        "from llm_export.transforms.plugin_transforms import asked_for\n"
        "(made,) = asked_for(compose('runtime.transforms=[sample]'))\n"
        "assert made.name == 'sample'",
        {
            f"{_PACKAGE}/transforms/sample.py":
                "from llm_export.transforms.base import NamedTransform, Transform\n\n"
                "TRANSFORM = NamedTransform(\n"
                '    lambda options, recipe: Transform("", lambda m: 1, lambda m: None)\n)\n'
        },
        {f"{_PACKAGE}/transforms/__init__.py": (
            "", 'TRANSFORMS.register("sample", "llm_export.transforms.sample:TRANSFORM")\n')},
    ),
    "a stage": Sample(
        "from llm_export.runner.stages import STAGES\n"
        "names = [stage.name for stage in STAGES]\n"
        "assert names.index('sample') == names.index('verify') + 1\n"
        "assert STAGES[names.index('sample')].load().__name__ == 'sample'\n"
        "(facts,) = explain('deploy.questions', Composer())\n"
        "assert 'sample' in facts.read_by",
        {f"{_PACKAGE}/stages/sample.py": STAGE},
        {f"{_PACKAGE}/runner/stages.py": (
            '        codec=f"{_SERIALIZERS}:VERIFIED",\n    ),\n',
            '    Stage("sample", "llm_export.stages.sample:sample", reads=("deploy.questions",),\n'
            '          not_kept="it is quick"),\n')},
    ),
    "a metric": Sample(
        "from llm_export.metrics.comparison import Comparison\n"
        "import torch\n"
        "found = Comparison()\n"
        "found.add(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))\n"
        "assert found.result().value('sample') == 3",
        {f"{_PACKAGE}/metrics/sample.py": METRIC},
        {f"{_PACKAGE}/metrics/__init__.py": (
            'METRICS.register("perplexity", "llm_export.metrics.perplexity:METRIC")\n',
            'METRICS.register("sample", "llm_export.metrics.sample:METRIC")\n')},
    ),
    "an evaluation task": Sample(
        "from llm_export.evaluation import task_named\n"
        "from types import SimpleNamespace\n"
        "subject = SimpleNamespace(layer='program', context_length=7)\n"
        "assert task_named('sample').start(None).score(subject).values == {'context': 7}\n"
        "assert problems(compose('evaluate=quick', 'evaluate.tasks=[sample]')) == []",
        {f"{_PACKAGE}/evaluation/sample.py": EVALUATION},
        {f"{_PACKAGE}/evaluation/__init__.py": (
            'TASKS.register("text", "llm_export.evaluation.text:TASK")\n',
            'TASKS.register("sample", "llm_export.evaluation.sample:TASK")\n')},
    ),
    "a kind of device": Sample(
        "from llm_export.targets import open_target\n"
        "assert open_target('sample:7').run('echo $((6 * 7))').out == '42\\n'",
        {f"{_PACKAGE}/targets/sample.py":
            "from llm_export.targets.base import TargetKind\n"
            "from llm_export.targets.local import LocalTarget\n\n"
            'TARGET = TargetKind("sample:NUMBER", lambda rest: LocalTarget())\n'},
        {f"{_PACKAGE}/targets/__init__.py": (
            'TARGETS.register("adb", "llm_export.targets.adb:TARGET")\n',
            'TARGETS.register("sample", "llm_export.targets.sample:TARGET")\n')},
    ),
    "a deploy target": Sample(
        "from llm_export.deploy import DEPLOY_TARGETS\n"
        "from llm_export.deploy.base import Settings\n"
        "project = DEPLOY_TARGETS.get('sample').make((), Settings('App'))\n"
        "assert project.files == {'App.txt': 'App'}",
        {f"{_PACKAGE}/deploy/sample/__init__.py":
            "from llm_export.deploy.base import DeployTarget, Project\n\n"
            "TARGET = DeployTarget('a text', lambda bundles, said: Project(\n"
            "    {f'{said.name}.txt': said.name}))\n"},
        {f"{_PACKAGE}/deploy/__init__.py": (
            'DEPLOY_TARGETS.take_from_plugins("deploy_targets")\n',
            'DEPLOY_TARGETS.register("sample", "llm_export.deploy.sample:TARGET")\n')},
    ),
    "a runtime to measure beside bundles": Sample(
        "from pathlib import Path\n"
        "Path('a.sample').touch()\n"
        "found = api.compare_speed(['a.sample'], prompt_length=4, rounds=1,\n"
        "                          decode_length=2, threads=1, warmup=0, repetitions=1)\n"
        "speed = found['artifacts'][0]['tests'][0]['prefill_tokens_per_second']['median']\n"
        "assert round(speed) == 2",
        {f"{_PACKAGE}/runtimes/sample.py": RUNTIME},
        {f"{_PACKAGE}/runtimes/__init__.py": (
            'RUNTIMES.take_from_plugins("runtimes")\n',
            'RUNTIMES.register("sample", "llm_export.runtimes.sample:RUNTIME")\n')},
    ),
    "an engine for chat templates": Sample(
        "from llm_export.template_engines import ENGINES\n"
        "from llm_export.template_engines.portable import examine\n"
        "rows = examine('{{ messages[0].content }}', {}).rows\n"
        "assert next(r for r in rows if r.name == 'sample').results[0].same == 0",
        {f"{_PACKAGE}/template_engines/sample.py": ENGINE},
        {f"{_PACKAGE}/template_engines/__init__.py": (
            'ENGINES.take_from_plugins("template_engines")\n',
            'ENGINES.register("sample", "llm_export.template_engines.sample:ENGINE")\n')},
    ),
    "a form of tool calls": Sample(
        "from runtime_py.chat_template import ChatTemplate\n"
        "from runtime_py.tool_formats import tool_format\n"
        "assert tool_format(ChatTemplate('<sample>', {})).name == 'sample'",
        {"runtime_py/tool_formats/sample.py": TOOL_FORMAT},
        {"runtime_py/tool_formats/__init__.py": ('"pythonic",\n', '"sample",\n')},
    ),
    "an engine of `runtime_py`": Sample(
        "from runtime_py.engines import engines, opener\n"
        "assert 'sample' in engines()\n"
        "assert opener('sample')(None, None, None) == 'opened'",
        {"runtime_py/engines/sample.py": (
            "def OPENER(bundle, data_path, threads):\n    return 'opened'\n")},
        {"runtime_py/engines/__init__.py": (
            "_PLACES = {name: f\"runtime_py.engines.{name}:OPENER\" "
            "for name in (\"executorch\", \"runner\")}\n",
            "_PLACES[\"sample\"] = \"runtime_py.engines.sample:OPENER\"\n")},
    ),
    "a consumer of bundles, or a version of one": Sample(
        "from llm_export.consumers import contract_of\n"
        "assert contract_of('sample').title == 'A sample'\n"
        "assert 'sample@1.0' in [row.name for row in api.ls('consumers')[0].rows()]",
        {f"{_PACKAGE}/consumers/contracts/sample@1.0.yaml":
            "title: A sample\n"
            "files: {model.pte: {}}\n"
            'methods: [{forward: {inputs: ["int64[1,S]"], outputs: ["float32[1,V]"]}}]\n'
            "sources: {files: here, methods: here}\n"},
    ),
    "a sweep launcher": Sample(
        "from llm_export.sweep.launchers import chosen_launcher\n"
        "assert chosen_launcher('sample', [], ['basic'])[0] == 'sample'",
        {},
        {f"{_PACKAGE}/sweep/launchers.py": (
            "LAUNCHERS = {\n", '    "sample": Kind("basic"),\n')},
    ),
    "a verb": Sample(
        "from llm_export.cli.main import main\n"
        "assert main(['sample']) == 7\n"
        "assert 'sample' in api.__all__",
        {
            f"{_PACKAGE}/api/sample.py": "def sample():\n    return 7\n",
            f"{_PACKAGE}/cli/sample.py":
                '"""A sample."""\nfrom llm_export import api\n\n\n'
                "def add_arguments(parser): ...\n\n\n"
                "def run(options):\n    return api.sample()\n",
        },
        {
            f"{_PACKAGE}/cli/verbs.py": ("VERBS = {\n", '    "sample": "a sample",\n'),
            f"{_PACKAGE}/api/__init__.py": (
                "\n__all__ = [\n",
                '    "sample",\n]\nfrom llm_export.api.sample import sample\n__all__ += [\n'),
        },
    ),
    "a key": Sample(
        "(facts,) = explain('deploy.sample', Composer())\n"
        "assert (facts.text, facts.default) == ('A sample.', '3')\n"
        "assert compose('deploy.sample=4').deploy.sample == 4",
        {},
        {f"{_PACKAGE}/config/deploy_schema.py": (
            '    """Asked of the finished bundle and kept with their answers as evidence."""\n',
            '    sample: int = 3\n    """A sample."""\n')},
    ),
    "another name for a key or value": Sample(
        "composed = api.compose_recipe(None, ['model=tiny', 'deploy.smpl=5'])\n"
        "assert composed.recipe.deploy.sample == 5\n"
        "assert composed.warnings == ['deploy.smpl is now deploy.sample']",
        {},
        {f"{_PACKAGE}/config/renamed.py": (
            "KEYS = {", '"deploy.smpl": "deploy.sample", ')},
    ),
}  # fmt: skip

ELSEWHERE = {
    "a private part of another library": "tests/architecture/test_private_parts.py",
    "a verb": "tests/unit/api/test_surface.py",
    "any of these outside this repository": "tests/integration/test_plugins.py",
    "a new kind of plugin contribution": "tests/integration/test_plugins.py",
}
"""Row -> the test that shows it."""
