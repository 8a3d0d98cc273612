"""The public Python API. Every command of the command line has a function here.

from llm_export import api
result = api.run("smollm2_135m_xnnpack_8da8w", ["quant=8da4w"])
print(result.bundle, result.load().chat([{"role": "user", "content": "Hello"}]).text)

A recipe argument is the name of a shipped recipe, a YAML file, None for the defaults, or an already
composed recipe (the result of ``compose``, or its ``.recipe``). A list of Hydra overrides may
follow it. Importing this package does not import torch. All errors are those of
``llm_export.errors``.
"""

from llm_export.api.bundles import (
    adapt,
    bench,
    chat,
    compare_templates,
    generate,
    load,
    profile,
    proof,
    runtime_errors,
    verify,
    weight_sizes,
)
from llm_export.api.checkpoints import CheckpointLike, convert, inspect, next_step
from llm_export.api.comparing import compare, quantities
from llm_export.api.consumers import verify_for
from llm_export.api.deploying import Deployed, deploy
from llm_export.api.devices import bench_on, device
from llm_export.api.embedding import embed, load_embedder
from llm_export.api.evaluation import evaluate
from llm_export.api.exchange import Offer, Shared, fetched, get, share
from llm_export.api.fitting import fit
from llm_export.api.forms import OUTPUTS, RecipeLike, compose, output_folder, resolve
from llm_export.api.listing import KINDS, Listing, Row, ls
from llm_export.api.machine import (
    CachedStages,
    Cleared,
    cached_stages,
    clear_cache,
    doctor,
    get_arm_emulation,
    version,
)
from llm_export.api.packing import pack, unpack
from llm_export.api.recipe_files import (
    RecipeFile,
    choices,
    cp,
    missing_groups,
    new,
    recipe_words,
    schema,
)
from llm_export.api.recipes import check, diff, explain, predict, show, validate
from llm_export.api.reports import report, report_markdown
from llm_export.api.running import DifferentProgramError, StageResult, run, steps, sweep
from llm_export.api.scores import score
from llm_export.api.seeing import QUESTION, see
from llm_export.api.seq2seq import load_transcriber, load_translator, transcribe, translate
from llm_export.api.serving import serve
from llm_export.api.speeds import compare_speed
from llm_export.api.stores import store
from llm_export.api.tuning import tune
from llm_export.runner.results import RunResult, Step

# Deprecated names.
compose_recipe = compose
check_recipe = check
validate_recipe = validate
predict_cost = predict
run_recipe = run
run_sweep = sweep
adapt_bundle = adapt

__all__ = [
    "KINDS",
    "OUTPUTS",
    "QUESTION",
    "CachedStages",
    "CheckpointLike",
    "Cleared",
    "Deployed",
    "DifferentProgramError",
    "Listing",
    "Offer",
    "RecipeFile",
    "RecipeLike",
    "Row",
    "RunResult",
    "Shared",
    "StageResult",
    "Step",
    "adapt",
    "adapt_bundle",
    "bench",
    "bench_on",
    "cached_stages",
    "chat",
    "check",
    "check_recipe",
    "choices",
    "clear_cache",
    "compare",
    "compare_speed",
    "compare_templates",
    "compose",
    "compose_recipe",
    "convert",
    "cp",
    "deploy",
    "device",
    "diff",
    "doctor",
    "embed",
    "evaluate",
    "explain",
    "fetched",
    "fit",
    "generate",
    "get",
    "get_arm_emulation",
    "inspect",
    "load",
    "load_embedder",
    "load_transcriber",
    "load_translator",
    "ls",
    "missing_groups",
    "new",
    "next_step",
    "output_folder",
    "pack",
    "predict",
    "predict_cost",
    "profile",
    "proof",
    "quantities",
    "recipe_words",
    "report",
    "report_markdown",
    "resolve",
    "run",
    "run_recipe",
    "run_sweep",
    "runtime_errors",
    "schema",
    "score",
    "see",
    "serve",
    "share",
    "show",
    "steps",
    "store",
    "sweep",
    "transcribe",
    "translate",
    "tune",
    "unpack",
    "validate",
    "validate_recipe",
    "verify",
    "verify_for",
    "version",
    "weight_sizes",
]
