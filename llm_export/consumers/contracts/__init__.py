"""Contracts, NAME@VERSION.yaml. The keys are those of ``contract.Contract``."""
