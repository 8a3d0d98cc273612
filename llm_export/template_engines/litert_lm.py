"""minijinja as LiteRT-LM sets it up, without Python's methods

From google-ai-edge/LiteRT-LM, runtime/components/rust/minijinja_template.rs.
"""

from llm_export.template_engines.minijinja import MiniJinja

ENGINE = MiniJinja("minijinja of LiteRT-LM", "LiteRT-LM", python_methods=False)
