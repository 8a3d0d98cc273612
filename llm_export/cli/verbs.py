"""The commands of the command line; each is a module of this folder."""

from __future__ import annotations

VERBS = {
    "run": "export a recipe to a verified bundle",
    "ls": "list recipes and the options of each group",
    "show": "print a recipe, resolved, and where each part came from",
    "explain": "explain a recipe key: meaning, what its values trade, the stages that read it",
    "new": "write the smallest recipe for a model, a backend and a scheme",
    "cp": "copy a recipe into a file of your own",
    "diff": "compare two recipes",
    "validate": "check a recipe without running it",
    "tune": "search over options and values for the best by measured objectives",
    "fit": "choose the quant option, KV cache and context that fit a device's memory",
    "generate": "continue a prompt with a bundle",
    "chat": "talk to a bundle in the terminal",
    "bench": "benchmark a bundle on this machine, or on a device by ssh or adb",
    "compare": "compare two bundles, and fail where one is worse",
    "evaluate": "measure how good a bundle is: perplexity, KL, top-1, tasks",
    "profile": "divide the time of a step of a bundle among the model's modules",
    "report": "write the page of a bundle or a sweep anew, print or show it",
    "adapt": "add a LoRA adapter to a bundle with separate adapters",
    "inspect": "print the contents of a checkpoint, and whether it fits in memory",
    "share": "pack a recipe or a bundle's recipe and evidence for others",
    "get": "fetch a recipe that others share into the library",
    "deploy": "write a project for an app, with a bundle in it",
    "verify": "check a bundle's files and manifest, and whether the runtime here can load it",
    "cache": "list or clear the stage cache",
    "convert": "write any checkpoint as a Hugging Face folder",
    "doctor": "list the backends that this machine can lower for and run, and what is missing",
    "schema": "print the JSON Schema of recipes, for editors",
    "version": "print the versions of this program and its dependencies",
}
