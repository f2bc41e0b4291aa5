"""fp32 products by oneDNN: the same values as torch's own, and only where and while they are wanted."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from engines.tiny_models import ask
from wattrack.engines.hf import HFEngine
from wattrack.engines.weights import onednn

pytestmark = pytest.mark.skipif(not onednn.available(), reason="this torch has no oneDNN")


class Own(nn.Linear):
    """A layer that may compute what it likes."""


@pytest.fixture
def helping(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor of AMD's."""
    monkeypatch.setattr(onednn, "helps", lambda: True)


@given(rows=st.integers(1, 70), into=st.integers(1, 130), out=st.integers(1, 130), bias=st.booleans())
@settings(max_examples=40, deadline=None, database=None)
def test_products_equal_those_of_torch(rows: int, into: int, out: int, bias: bool) -> None:
    torch.manual_seed(rows)
    layer, x = nn.Linear(into, out, bias=bias), torch.randn(2, rows, into)
    with torch.inference_mode():
        expected, found = layer(x), onednn.product(x, layer.weight, layer.bias)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("helping")
def test_plain_fp32_layers_change_and_change_back() -> None:
    hooked = nn.Linear(4, 4)
    hooked.forward = lambda x: x + 1  # type: ignore[method-assign]
    layers = nn.ModuleDict(
        {"plain": nn.Linear(4, 4), "own": Own(4, 4), "bf16": nn.Linear(4, 4, dtype=torch.bfloat16), "hooked": hooked}
    )
    with onednn.linears(layers):
        assert [name for name, layer in layers.items() if "forward" in vars(layer)] == ["plain", "hooked"]
        assert torch.equal(layers["hooked"](torch.zeros(4)), torch.ones(4))
    assert [name for name, layer in layers.items() if "forward" in vars(layer)] == ["hooked"]


@pytest.mark.usefixtures("helping")
def test_layers_change_back_after_an_error() -> None:
    layer = nn.Linear(4, 4)
    with pytest.raises(RuntimeError), onednn.linears(layer):
        layer(torch.zeros(3))
    assert "forward" not in vars(layer)


def test_elsewhere_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "helps", lambda: False)
    assert not onednn.changes(nn.Linear(4, 4))


@pytest.mark.usefixtures("helping")
@pytest.mark.parametrize(
    ("mode", "dtype", "products", "said"),
    [
        ("shared", "fp32", "auto", True),
        ("shared", "fp32", "torch", False),
        ("naive", "fp32", "auto", False),
        ("shared", "bf16", "auto", False),
    ],
)
def test_the_run_says_whose_products_it_used(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, mode: str, dtype: str, products: str, said: bool
) -> None:
    shapes: list[tuple[int, ...]] = []
    product = onednn.product
    monkeypatch.setattr(onednn, "product", lambda x, *rest: shapes.append(x.shape) or product(x, *rest))
    engine = HFEngine(
        model_id=str(folders["qwen2"]), dtype=dtype, device="cpu", threads=1, mode=mode, products=products
    )
    facts = engine.load().params()
    try:
        assert (facts.get("effective/products") == "oneDNN") == said
        for _ in engine.generate([ask("Tom has 3", str(i)) for i in range(3)]):
            assert (engine.facts().params().get("effective/products") == "oneDNN") == said
    finally:
        engine.close()
    assert bool(shapes) == said
