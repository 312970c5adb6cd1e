"""Numbers as a shop person reads them."""

import pytest

from components.gate.wording import signed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1114, "+0.111"),
        (-0.0206, "−0.021"),
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (0.00042, "+0.0004"),
        (-0.000061, "−0.00006"),
        (1e-7, "+0.0000001"),
    ],
)
def test_a_difference_is_written_out_with_its_sign(value: float, text: str) -> None:
    """Never 0 where it is not, never with an exponent."""
    assert signed(value) == text
