"""Texts of ``contributing_samples``: new files, and how one of them is found."""

METRIC = """
from llm_export.metrics.base import Batch, Metric

class Count:
    def __init__(self):
        self.seen = 0

    def add(self, batch: Batch):
        self.seen += len(batch.targets)

    def values(self):
        return {"sample": self.seen}

METRIC = Metric("sample", "", True, Count)
"""
ENGINE = """
from llm_export.template_engines.base import Rendering

class Sample:
    title, used_by = "sample", "nobody"

    def missing(self):
        return None

    def version(self):
        return "1"

    def render(self, sources, cases):
        return [[Rendering("sample")] * len(cases)] * len(sources)

ENGINE = Sample()
"""
RUNTIME = """
class Sample:
    package = "sample"

    @staticmethod
    def accepts(path):
        return path.suffix == ".sample"

    def __init__(self, path, threads, context): ...

    def prefill(self, ids, depth):
        return len(ids) / 2

    def decode(self, ids, count):
        return count / 2

RUNTIME = Sample
"""
TOOL_FORMAT = """
from runtime_py.tool_formats.base import ToolFormat, json_calls, json_value

FORMAT = ToolFormat(
    "sample", begins=("<sample>",), end="</sample>",
    parse=lambda text, schemas: json_calls(json_value(text)), opening=lambda name: "<sample>",
)
"""
EVALUATION = """
from llm_export.evaluation.base import EvaluationTask
from llm_export.evaluation.results import Score
from llm_export.metrics.value import Value

class Sample:
    about = "the context"
    columns = (Value("context"),)

    def __init__(self, request): ...

    def score(self, subject):
        return Score(subject.layer, 1, {"context": subject.context_length})

    def close(self): ...

TASK = EvaluationTask("sample", Sample)
"""
STAGE = """
from llm_export.pipeline.artifacts import Verified

def sample(artifact: Verified, resolved, ctx) -> Verified:
    return artifact
"""

BACKEND_FOUND = """import sys
sys.path.insert(0, 'docs_tools')
sys.argv = ['backend_options.py']
import backend_options
backend_options.main()
assert Composer().describe('backend', 'sample')[0] == 'A sample; experimental'
recipe = compose('backend=sample', 'backend.options.level=2')
assert recipe.backend.options == {'level': 2, 'fast': False}
assert problems(recipe) == []
from llm_export.backends import BACKENDS
assert 'llm_export[sample]' in BACKENDS.get('sample').availability().fix
setup = configparser.ConfigParser()
setup.read('setup.cfg')
assert setup['options.extras_require']['sample'].strip() == 'sample-sdk>=1'"""

FAMILY_FOUND = """from llm_export.models.families import FAMILIES
tiny = compose().model.config
assert 'sample' in FAMILIES
assert FAMILIES.get('sample').name == 'sample'
table = pathlib.Path('tests/family_models.py').read_text()
(members,) = [n.value for n in ast.parse(table).body if isinstance(n, ast.AnnAssign)
              and n.target.id == 'MEMBERS']
assert 'sample' in [key.value for key in members.keys]"""

HELPERS = """
import ast, configparser, pathlib
from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.compose import Composer
from llm_export.runner.key_reference import explain

def compose(*words, name=None):
    return api.compose_recipe(name, [*([] if name else ["model=tiny"]), *words]).recipe

def problems(recipe):
    return [str(p) for p in find_problems(recipe) if not p.environment]
"""
