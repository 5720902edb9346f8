"""Which calls of the control plane a quota holds back."""

import pytest
from botocore.session import Session

from iot_sandbox import api
from iot_sandbox.fault_kinds import API


@pytest.mark.parametrize("operation", API)
def test_an_operation_is_known_by_the_path_that_botocore_takes(operation: str) -> None:
    model = Session().get_service_model("iot").operation_model(operation)
    path = model.http["requestUri"].partition("?")[0]
    for name in model.input_shape.members:
        path = path.replace(f"{{{name}}}", "a%2Fb")
    assert api.operation(model.http["method"], path) == operation


def test_others_are_not() -> None:
    assert api.operation("GET", "/things") is None
    assert api.operation("POST", "/things/a/b") is None
