"""``torch._check``: facts about symbolic sizes that export cannot find by itself.

torch's guide to export recommends it; it has no public name. Written for torch 2.13.
"""

from __future__ import annotations

import torch

check = torch._check
"""``check(condition)``: what export may assume, and what eager mode raises for."""
