"""Choice questions: where the continuation begins, what is refused, what is counted."""

from pathlib import Path

import pytest

from engines.tiny_models import SHAPE, ask_choices, build_model
from wattrack.engines.hf import HFEngine
from wattrack.engines.rows import ChoiceRow, Option
from wattrack.engines.sharing.choices import lay
from wattrack.engines.sharing.packing import ROOT
from wattrack.schema import Candidate, ChoiceRequest


@pytest.fixture(scope="module")
def engine(folders: dict[str, Path]) -> HFEngine:
    loaded = HFEngine(model_id=str(folders["qwen2"]), dtype="fp32", threads=1)
    loaded.load()
    return loaded


def row(*options: tuple[tuple[int, ...], int]) -> ChoiceRow:
    candidates = tuple(Candidate(context="", continuation=str(n)) for n in range(len(options)))
    request = ChoiceRequest(sample_id="q", repeat=0, candidates=candidates)
    return ChoiceRow(request=request, options=tuple(Option(*option) for option in options), merged=0, prompt_text="")


def test_tokens_that_merge_across_the_cut_belong_to_the_continuation(engine: HFEngine) -> None:
    _, renderer = engine._ready()
    tokenizer = engine._ready()[0].tokenizer
    apart, whole = (tokenizer(text)["input_ids"] for text in ("Tom has 3 appl", "Tom has 3 apples"))
    assert whole[: len(apart)] != apart, "the example must merge"
    [found], refused = renderer.choices([ask_choices("Tom has 3 appl", ["es", "\n"])])
    assert refused == [] and found.merged == 1
    assert found.options[0].ids == tuple(whole) and found.options[0].start < len(apart)
    assert found.options[1].ids[found.options[1].start :] == tuple(tokenizer("\n")["input_ids"])
    [response] = engine.loglikelihood([ask_choices("Tom has 3 appl", ["es", "\n"])])
    assert response.merged_boundaries == 1


def test_there_is_one_beginning_of_sequence_token(tmp_path: Path) -> None:
    engine = HFEngine(model_id=str(build_model(tmp_path, bos=True)), dtype="fp32", threads=1)
    engine.load()
    [found], _ = engine._ready()[1].choices([ask_choices("Tom has", [" 3"])])
    assert found.options[0].ids.count(SHAPE["bos_token_id"]) == 1 and found.options[0].ids[0] == SHAPE["bos_token_id"]
    [doubled] = engine.loglikelihood([ask_choices("<bos>Tom has", [" 3"])])
    assert doubled.error is not None and "twice" in doubled.error
    [alone] = engine.loglikelihood([ask_choices("", ["Tom"])])
    assert alone.error is None, "the beginning-of-sequence token is context enough"
    engine.close()


def test_what_cannot_be_asked_is_refused_and_the_others_go_on(engine: HFEngine) -> None:
    requests = [
        ask_choices("Tom " * 300, [" 3", " 4"], "long"),
        ask_choices("", ["Tom"], "no context"),
        ask_choices("Tom has", [""], "nothing"),
        ask_choices("Tom has", [" 3", " 4"], "fine"),
    ]
    found = {response.sample_id: response for response in engine.loglikelihood(requests)}
    assert "exceed the context of 256" in str(found["long"].error)
    assert "no token before its continuation" in str(found["no context"].error)
    assert "without tokens" in str(found["nothing"].error)
    assert found["fine"].error is None and len(found["fine"].logprobs) == 2
    assert all(not r.logprobs and r.finish_reason == "error" for r in found.values() if r.error)


def test_the_text_is_the_likeliest_continuation_and_tokens_are_counted(engine: HFEngine) -> None:
    request = ask_choices("Tom has", [" 3 apples", " 17", " 17"])
    [response] = engine.loglikelihood([request])
    best = max(range(3), key=lambda i: (response.logprobs[i], -i))
    assert response.text == request.candidates[best].continuation.strip() and best != 2
    tokenizer = engine._ready()[0].tokenizer
    texts = [c.context + c.continuation for c in request.candidates]
    assert response.usage.input_tokens == sum(len(tokenizer(text)["input_ids"]) for text in texts)
    assert response.timing.done_s is not None and response.timing.done_s > 0
    assert response.timing.stamps_s == ()


def test_branches_restart_where_the_root_ends() -> None:
    laid = lay(row(((1, 2, 3, 4, 5), 3), ((1, 2, 3, 6, 7, 8), 3)), prefix=1)
    assert laid.row.ids == (2, 3, 4, 6, 7)
    assert laid.row.positions == (1, 2, 3, 3, 4), "each branch continues at the root's end"
    assert laid.row.segments == (ROOT, ROOT, 1, 2, 2)
    assert laid.row.keep == (1, 2, 3, 4)
    assert laid.wanted == (((0, 4), (1, 5)), ((0, 6), (2, 7), (3, 8)))


def test_letters_need_the_context_alone() -> None:
    laid = lay(row(((1, 2, 3, 4), 3), ((1, 2, 3, 5), 3)), prefix=0)
    assert laid.row.ids == (1, 2, 3) and laid.row.keep == (2,)
    assert laid.wanted == (((0, 4),), ((0, 5),))


def test_a_prefix_leaves_every_wanted_place_to_the_row() -> None:
    one = row(((1, 2, 3, 4), 2), ((1, 2, 3, 5), 3))
    assert one.shareable == (1,), "place 1 predicts the first option's first token"
    apart = row(((1, 2, 9, 9), 3), ((1, 3, 9, 9), 3))
    assert apart.shareable == (1,) and apart.root_length == 1
