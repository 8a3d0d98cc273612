"""Licences under which a recipe may be shared."""

from __future__ import annotations

from dataclasses import dataclass

from llm_export.errors import InputError, did_you_mean
from llm_export.home import expanded
from llm_export.sharing.members import MAX_FILE

DEFAULT = "BSD-3-Clause"
"""As this program's: a resolved recipe carries values of options that are shipped with it."""

_AS_IS = """\
THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""

_MIT = f"""\
MIT License

Copyright (c) {{holder}}

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

{_AS_IS}"""

_BSD = """\
BSD 3-Clause License

Copyright (c) {holder}

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:

1. Redistributions of source code must retain the above copyright notice, this
   list of conditions and the following disclaimer.

2. Redistributions in binary form must reproduce the above copyright notice,
   this list of conditions and the following disclaimer in the documentation
   and/or other materials provided with the distribution.

3. Neither the name of the copyright holder nor the names of its
   contributors may be used to endorse or promote products derived from
   this software without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS"
AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE
IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE
FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER
CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY,
OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
"""

_TEXTS = {"MIT": _MIT, "BSD-3-Clause": _BSD}
_HUB_NAMES = {"MIT": "mit", "BSD-3-Clause": "bsd-3-clause"}


@dataclass(frozen=True)
class Licence:
    """``name`` for people, ``hub`` as the hub's cards name it, and the text."""

    name: str
    hub: str
    text: str


def licence(word: str | None, holder: str | None) -> Licence:
    """Look up a licence by name or file; None is DEFAULT.

    Args:
        word: MIT, BSD-3-Clause, or a file with the text of another.
        holder: of the copyright; None: the authors of the recipe.

    Raises:
        InputError: it is neither a known name nor a text file.
    """
    word = word or DEFAULT
    known = next((name for name in _TEXTS if name.lower() == word.lower()), None)
    if known:
        text = _TEXTS[known].format(holder=holder or "the authors of this recipe")
        return Licence(known, _HUB_NAMES[known], text)
    path = expanded(word)
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_FILE else None
        text = data.decode("utf-8") if data is not None else ""
    except (OSError, ValueError):
        text = ""
    if not text.strip():
        raise InputError(
            "there is no such licence", where=f"--licence {word}",
            fix=f"{did_you_mean(word, _TEXTS)}; or a file with its text",
        )  # fmt: skip
    return Licence(text.strip().splitlines()[0].strip()[:80], "other", text)
