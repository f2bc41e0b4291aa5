"""Every YAML composes and builds; every mistake is refused early, with the key and the choices."""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from support import CHECKOUT, Command, Compose
from wattrack.errors import ConfigError
from wattrack.metrics.rows import METRICS
from wattrack.schema import Sample
from wattrack.settings import availability, build, checks
from wattrack.settings.prompting import build_prompt, completed

CONF = CHECKOUT / "conf"


def names(group: str) -> list[str]:
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))


GROUPS = ("model", "dataset", "engine", "preset", "hardware")


@pytest.mark.parametrize("choice", [f"{g}={n}" for g in GROUPS for n in names(g)])
def test_every_yaml_composes_and_builds(composed: Compose, choice: str) -> None:
    cfg = composed(choice, *(["engine.path=recorded.jsonl"] if choice == "engine=replay" else []))
    checks.check(cfg)
    build.task(cfg)
    build.engine(cfg)
    build.meter(cfg)
    build.carbon(cfg)
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("name", names("dataset"))
def test_the_first_protocol_of_a_dataset_is_its_default(composed: Compose, name: str) -> None:
    dataset = composed(f"dataset={name}").dataset
    assert dataset.protocol == next(iter(dataset.protocols))


@pytest.mark.parametrize("name", names("experiment"))
def test_every_experiment_composes(composed: Compose, name: str) -> None:
    cfg = composed(f"experiment={name}")
    checks.check(cfg)
    build.task(cfg)


@pytest.mark.parametrize("mode", ["run", "sweep"])
def test_two_jobs_of_one_second_have_two_folders(composed: Compose, mode: str) -> None:
    composed()  # registers what the folder's name is made of
    with initialize_config_dir(str(CONF), version_base="1.3"):
        every = (compose("config", return_hydra_config=True) for _ in range(3))
        assert len({OmegaConf.select(cfg, f"hydra.{mode}.dir") for cfg in every}) == 3


def test_tracking_choices(composed: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    assert composed("tracking=local").tracking.uri is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert composed("tracking=server").tracking.uri == "http://127.0.0.1:5000"


def test_composing_imports_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys; from hydra import compose, initialize_config_dir; from omegaconf import OmegaConf\n"
        "from wattrack import places; from wattrack.settings import build, checks, config\n"
        "config.register(); OmegaConf.register_new_resolver('wattrack_root', lambda: '.')\n"
        "initialize_config_dir(str(places.conf_dir()), version_base='1.3'); cfg = compose('config')\n"
        "checks.check(cfg); build.task(cfg); build.engine(cfg)\n"
        "print(sorted({'torch','mlflow','transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert done.stdout.strip() == "[]"


def test_presets_are_different(composed: Compose) -> None:
    settings = [{k: v for k, v in composed(f"preset={n}").preset.items() if k != "name"} for n in names("preset")]
    for a, b in itertools.combinations(settings, 2):
        assert sum(a[k] != b[k] for k in a) >= 2


def test_every_headline_is_a_metric() -> None:
    for name in names("dataset"):
        for protocol in OmegaConf.load(CONF / "dataset" / f"{name}.yaml").protocols.values():
            assert f"quality/{protocol.headline}" in METRICS


# A changed prompt needs a new protocol version: then change the version in the YAML and the line here, together.
# Shots drawn from rows and prompts read from files are only in the hash that a run logs.
PROMPTS = {
    "arc_challenge/base@1": "ed9d480b",
    "arc_challenge/base0@1": "f6495d3b",
    "arc_challenge/chat@2": "a23f1f22",
    "arithmetic/chat@2": "7647a72d",
    "bfcl/chat@3": "c327cccb",
    "bfcl/prompt@3": "a2fd0d87",
    "bbh/cot@1": "5c7c019f",
    "bbh/direct@1": "53f8fb20",
    "gpqa/base0@1": "deff12e8",
    "gpqa/chat@2": "97d87283",
    "gsm8k/base@2": "887f0977",
    "gsm8k/chat@2": "d3649fb1",
    "hellaswag/base@1": "88d4e8c7",
    "hellaswag/base0@1": "cac40e65",
    "hellaswag/chat@2": "ba2168ae",
    "humaneval/base@2": "baf19c80",
    "humaneval/chat@2": "2a92339b",
    "mbpp/base@2": "1b3752b9",
    "mbpp/chat@2": "72373afc",
    "mbpp_sanitized/base@2": "e916df49",
    "mbpp_sanitized/chat@2": "72373afc",
    "json_output/constrained@1": "3f4a3165",
    "json_output/free@2": "3f4a3165",
    "ifeval/base@2": "baf19c80",
    "ifeval/chat@2": "7647a72d",
    "math/base@1": "20264380",
    "math/chat@1": "1f086b9b",
    "math500/base@1": "20264380",
    "math500/chat@1": "1f086b9b",
    "mmlu/base@1": "6a0264ea",
    "mmlu/base0@1": "b174d937",
    "mt_bench/chat@2": "9ae82941",
    "mmlu/chat@2": "a23f1f22",
    "number_words/chat@2": "8e42b69d",
    "perf/fixed@2": "9e717f71",
    "sonnet/gaussian@1": "6e4c5db6",
    "exo_prompts/base@1": "baf19c80",
    "exo_prompts/chat@1": "7647a72d",
    "prompts/base@2": "baf19c80",
    "prompts/chat@2": "7647a72d",
    "toolllama/offline_step@2": "c327cccb",
    "tool_calls/chat@3": "c327cccb",
    "tool_calls/constrained@2": "b168db15",
    "tool_calls/json@2": "b168db15",
    "tool_calls/prompt@3": "a2fd0d87",
    "wattbot/closed@1": "123c9ade",
    "wattbot/oracle@1": "75a32070",
    "winogrande/base@1": "d58859b3",
    "winogrande/base0@1": "4ca2de58",
    "winogrande/chat@2": "356efeb0",
}


def test_prompt_and_version_move_together(composed: Compose) -> None:
    found = {}
    for name in names("dataset"):
        cfg = composed(f"dataset={name}")
        for protocol in cfg.dataset.protocols:
            cfg.dataset.protocol = protocol
            task = build.task(cfg)
            found[task.protocol] = task.prompt.sha256()[:8]
    assert found == PROMPTS


QUESTION = Sample(id="q", question="?", target="")
REFUSED = [
    ("model=qwen1_b", "model=qwen1_b: there is no such model; did you mean qwen1_5b?"),
    ("dataset=gsm", "dataset=gsm: there is no such dataset"),
    ("modle=demo_s", "modle: there is no such setting; did you mean model?"),
    ("limt=3", "limt: there is no such setting; did you mean limit?"),
    ("preset.batchsize=3", "preset.batchsize: there is no such setting; did you mean batch_size?"),
    ("+preset.foo=3", "preset.foo: there is no such setting"),
    ("+foo=1", "foo: there is no such setting"),
    ("limit=abc", "limit: expected a whole number, got 'abc'"),
    ("limit=0", "limit=0: must be 1 or more (or null)"),
    ("model.params_b=big", "model.params_b: expected a number, got 'big'"),
    ("preset.dtype=bf17", "preset.dtype: expected one of auto, fp32, bf16, fp16, got 'bf17'"),
    ("engine.mode=fast", "engine.mode"),
    ("dataset.protocol=chatt", "dataset.protocol=chatt: arithmetic has chat; did you mean chat?"),
    (
        "dataset.protocols.chat.max_new_tokens=9",
        "is dataset.protocols.chat.prompt.max_new_tokens now",
    ),
    ("+dataset.protocols.chat.style=turns", "chat.style: is dataset.protocols.chat.prompt._target_ now"),
    ("dataset.protocols.chat.prompt.stopp=[x]", "chat.prompt.stopp: there is no such setting; did you mean stop?"),
    ("dataset.protocols.chat.prompt.max_new_tokens=9.5", "prompt.max_new_tokens: expected a whole number, got 9.5"),
    ("dataset.protocols.chat.prompt=null", "chat.prompt: it is no node; expected what names a class that asks"),
    ("dataset.protocols.chat.prompt=abc", "chat.prompt: it is no node"),
    ("dataset.protocols.chat.prompt._target_=builtins.dict", "prompt._target_=builtins.dict: no signature found"),
    ("dataset.protocols.chat.prompt._target_=os.getcwd", "os.getcwd: expected a class as in wattrack.prompts"),
    ("dataset.protocols.chat.prompt._target_=wattrack.prompts.text.Worded", "Worded: expected a class as in wattrack"),
    ("+dataset.protocols.chat.prompt._partial_=true", "prompt._partial_: a prompt is made at once"),
    ("dataset.protocols.chat.prompt.context=foo", "prompt.context: expected a node with a _target_"),
    (
        "dataset.protocols.chat.prompt.shots={_target_:wattrack.prompts.shots.Draw,split:null,count:1}",
        "shots.split: expec",
    ),
    ("hardware.sample_hz=100", "hardware.sample_hz=100: must be between 1 and 10"),
    ("tracking.traces=many", "tracking.traces=many: must be all, none or a number"),
    ("model.id=embedded:demo_xxl", "embedded:demo_xs"),
    ("tracking=server", "MLFLOW_TRACKING_URI is not set"),
]


@pytest.mark.parametrize(("override", "message"), REFUSED)
def test_a_mistake_is_refused_with_the_key_and_the_choices(
    run_without_store: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    override: str,
    message: str,
) -> None:
    assert run_without_store(override) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) <= 2
    assert not (tmp_path / "mlruns").exists()


# One process for each layer that refuses: the choice of a file, a key's type, what the values mean together.
@pytest.mark.parametrize(("override", "message"), [REFUSED[0], REFUSED[7], REFUSED[12]])
def test_a_process_ends_with_that_refusal(src_run: Command, tmp_path: Path, override: str, message: str) -> None:
    done = src_run(override, timeout_s=30)  # a hang, not a benchmark: benchmarks/startup.py measures it
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert not (tmp_path / "mlruns").exists()


def test_a_mistake_in_one_job_of_a_sweep_is_refused_before_any_runs(src_run: Command, tmp_path: Path) -> None:
    done = src_run("-m", "model=demo_s,nope", "limit=1")
    assert done.returncode == 2
    assert "model=nope: there is no such model" in done.stderr
    assert not (tmp_path / "mlruns").exists()


def test_a_mistake_in_a_users_yaml_is_refused(src_run: Command, tmp_path: Path) -> None:
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "mine.yaml").write_text(
        "name: mine\ndtype: auto\nkv_cache: dynamic\nattention: sdpa\nbatch_size: 2\nbach: 3\n", "utf-8"
    )
    done = src_run("--config-dir", str(tmp_path), "preset=mine")
    assert done.returncode == 2
    assert "bach" in done.stderr
    assert "batch_size" in done.stderr


def test_a_users_dataset_of_the_version_before_is_refused_with_where_its_settings_are(
    src_run: Command, tmp_path: Path
) -> None:
    (tmp_path / "dataset").mkdir()
    old = "name: mine\nprotocol: chat\nprotocols:\n  chat:\n    version: 1\n    style: chat\n    headline: score\n"
    (tmp_path / "dataset" / "mine.yaml").write_text(old, "utf-8")
    done = src_run("--config-dir", str(tmp_path), "dataset=mine")
    assert done.returncode == 2
    assert "dataset.protocols.chat.style: is dataset.protocols.chat.prompt._target_ now" in done.stderr


def test_every_prompt_says_all_of_its_settings(composed: Compose) -> None:
    given, shown = composed("dataset=sonnet"), composed("dataset=sonnet", "dataset.protocols.gaussian.prompt.top_p=1")
    whole = completed(given)
    assert whole.dataset.protocols.gaussian.prompt.temperature == 0.0
    assert whole == completed(shown) == completed(whole), "what is a default may be said or not"
    assert isinstance(whole.dataset.protocols.gaussian.prompt.prompt_tokens_stddev, float)
    assert "temperature" not in given.dataset.protocols.gaussian.prompt


def test_a_prompt_may_refer_to_other_settings_and_be_a_users_own_class(composed: Compose) -> None:
    cfg = composed("seed=7", "dataset.protocols.chat.prompt.max_new_tokens=${seed}")
    assert build_prompt(cfg).request(QUESTION, 0, 0).generation.max_new_tokens == 7  # type: ignore[union-attr]
    assert completed(cfg).dataset.protocols.chat.prompt.max_new_tokens == 7
    own = composed("dataset.protocols.chat.prompt._target_=own_prompt.Own", "+dataset.protocols.chat.prompt.word=hey")
    assert build_prompt(own).request(QUESTION, 0, 0).prompt == "hey"  # type: ignore[union-attr]
    assert "rule" not in completed(own).dataset.protocols.chat.prompt, "what no YAML can say stays the class's"


def test_equal_settings_have_equal_keys_however_they_are_written(composed: Compose) -> None:
    whole, half = "dataset.protocols.chat.prompt.temperatures.writing=1", "temperatures.writing=1.0"
    keys = {str(completed(composed("dataset=mt_bench", text)).dataset.protocols.chat.prompt)
            for text in (whole, f"dataset.protocols.chat.prompt.{half}")}  # fmt: skip
    assert len(keys) == 1


def test_a_dataset_of_the_version_before_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"hub_id": "a/b", "protocols": {"chat": {"version": 1, "style": "chat"}, "x": {"prompt": "${a}"}}}
    assert availability.notes({"mine": old})
    monkeypatch.setattr(availability.hub, "complete_in_cache", lambda *_: "0" * 40)
    assert availability.state(old).startswith("ready")


def test_model_location_names_the_choices() -> None:
    with pytest.raises(ConfigError, match="embedded:demo_s"):
        build.model_location("embedded:nope")
    assert build.model_location("Qwen/Qwen2.5-0.5B-Instruct") == "Qwen/Qwen2.5-0.5B-Instruct"
