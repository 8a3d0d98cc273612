"""Load a bundle and generate. Needs executorch, tokenizers and jinja2; nothing of llm_export.

from runtime_py import LLM
llm = LLM.load("outputs/smollm2_135m_xnnpack_8da8w")
print(llm.chat([{"role": "user", "content": "What is the capital of France?"}]).text)
"""

from runtime_py.errors import RuntimeProblem
from runtime_py.llm import LLM
from runtime_py.sampling import Sampling
from runtime_py.stats import Generation, Stats

__all__ = ["LLM", "Generation", "RuntimeProblem", "Sampling", "Stats"]
