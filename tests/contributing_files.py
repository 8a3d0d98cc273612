"""Texts of the new files of ``contributing_samples``."""

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
