"""What Hydra's own config names as classes to build.

Its launcher, sweeper and help are classes of a private package, and every composed config has
them. Imports nothing. Written for hydra-core 1.3.
"""

from __future__ import annotations

OWN = "hydra._internal."
"""Beginning of every ``_target_`` in Hydra's own config."""
