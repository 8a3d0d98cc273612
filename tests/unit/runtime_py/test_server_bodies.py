"""What the server says of bodies that are not as the API's."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("starlette")

from runtime_py.server.bodies import validated
from runtime_py.server.errors import ApiError
from runtime_py.server.routes.completions import CompletionBody


@pytest.mark.parametrize(
    ("fields", "param", "what"),
    [
        ({"prompt": 3}, "prompt", "should be a valid string or a valid list"),
        ({"prompt": [1, "a"]}, "prompt", "'prompt[1]' is wrong: input should be a valid integer"),
        ({"prompt": [["a"]]}, "prompt", "'prompt[0][0]' is wrong: input should be a valid integer"),
        (
            {"prompt": [None]},
            "prompt",
            "'prompt[0]' is wrong: input should be a valid integer or a",
        ),
        ({"prompt": "a", "stream_options": 3}, "stream_options", "should be an object"),
        ({"prompt": "a", "stop": [1]}, "stop", "valid string"),
        ({"prompt": "a", "max_tokens": "x"}, "max_tokens", "should be a valid integer"),
        ({"prompt": "a", "max_token": 3}, "max_token", "did you mean 'max_tokens'?"),
    ],
)
def test_a_wrong_parameter_is_named_without_the_names_of_types(
    fields: dict[str, object], param: str, what: str
) -> None:
    with pytest.raises(ApiError) as caught:
        validated(CompletionBody, fields)
    assert caught.value.param is not None
    assert caught.value.param.partition("[")[0] == param, json.dumps(fields)
    assert what in caught.value.message
