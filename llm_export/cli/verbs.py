"""The commands of the command line; each is a module of this folder."""

from __future__ import annotations

VERBS = {
    "run": "take a recipe to a proven bundle",
    "ls": "list recipes and the options of each group",
    "show": "print a recipe, resolved, and where each part came from",
    "explain": "say what a key means, what it is by default, and who reads it",
    "new": "write the smallest recipe for a model, a backend and a scheme",
    "cp": "copy a recipe into a file of your own",
    "diff": "print what two recipes say differently",
    "validate": "check a recipe without starting any work",
    "generate": "continue a prompt with a bundle",
    "chat": "talk to a bundle in the terminal",
    "bench": "measure a bundle on this machine",
    "adapt": "add a LoRA adapter to a bundle that keeps them separate",
    "inspect": "print what a checkpoint holds and whether it would fit",
    "share": "pack a recipe or a bundle's recipe and evidence for others",
    "get": "fetch a recipe that others share into the library",
    "verify": "check a bundle's files, manifest, and what it requires of the runtime",
    "cache": "list or clear the finished stages that runs reuse",
    "convert": "write any checkpoint as a Hugging Face folder",
    "doctor": "say which backends can be lowered for and run here, and what is lacking",
    "schema": "print the JSON Schema of recipes, by which editors complete and check them",
    "version": "print the versions of this program and of what it builds on",
}
