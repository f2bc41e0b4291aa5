"""A model without its checkpoint: real architecture, random weights, and a substitute where there is no tokenizer.

Random weights take the same time, memory and energy as trained ones and know nothing: their answers are no answers.
"""

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.initialization import no_init_weights

from wattrack.errors import EngineError

_STD = 0.02
_BLOCK = 2**24
"""Random numbers drawn on a CPU, where drawing is twenty times slower than copying; larger tensors repeat them."""
_BYTES = 256
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_END_OF_TEXT, _START, _END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


def build(config: Any, *, dtype: torch.dtype, device: torch.device, attention: str | None, seed: int) -> Any:
    """The model of `config` on `device` in `dtype`: allocated once, in that dtype, and filled from `seed`."""
    auto: Any = AutoModelForCausalLM
    chosen = {} if attention is None else {"attn_implementation": attention}
    with no_init_weights(), torch.device(device):
        model = auto.from_config(config, dtype=dtype, **chosen)
    model.tie_weights()
    _fill(model, torch.Generator(device).manual_seed(seed % 2**63))
    return model


def build_quantized(config: Any, quantizer: Any, *, device: torch.device, **options: Any) -> Any:
    """As `build`, then quantized on its way to `device`: the wide weights are in main memory only, as when loading."""
    wide = build(config, device=torch.device("cpu"), **options)
    return type(wide).from_pretrained(
        None,
        config=config,
        state_dict=wide.state_dict(),
        quantization_config=quantizer,
        device_map={"": device},
        dtype=options["dtype"],
    )


@torch.no_grad()
def _fill(model: Any, generator: torch.Generator) -> None:
    """Normal matrices, zero biases, unit norms; anything else stays as its constructor made it."""
    block: torch.Tensor | None = None
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.dim() > 1 and parameter.device.type == "cpu":
                if block is None or block.dtype != parameter.dtype:
                    block = torch.empty(_BLOCK, dtype=parameter.dtype).normal_(0.0, _STD, generator=generator)
                _copy_repeated(block, parameter.view(-1), generator)
            elif parameter.dim() > 1:
                parameter.normal_(0.0, _STD, generator=generator)
            elif name == "bias" and isinstance(module, torch.nn.Linear | torch.nn.LayerNorm):
                parameter.zero_()
            elif isinstance(module, torch.nn.LayerNorm):
                parameter.fill_(1.0)


def _copy_repeated(block: torch.Tensor, target: torch.Tensor, generator: torch.Generator) -> None:
    """Fill `target` with the block from a random position on, around its end as often as needed."""
    place = int(torch.randint(block.numel(), (1,), generator=generator))
    done = 0
    while done < target.numel():
        part = block[place : place + target.numel() - done]
        target[done : done + part.numel()].copy_(part)
        done, place = done + part.numel(), 0


def substitute_tokenizer(config: Any) -> PreTrainedTokenizerFast:
    """One token per UTF-8 byte, ChatML turns, and a made-up word for every other id of the vocabulary.

    Texts have about four times the tokens that a trained tokenizer would give them.

    Raises:
        EngineError: the vocabulary is too small for bytes and special tokens.
    """
    text = config.get_text_config(decoder=True)
    size = int(text.vocab_size)
    if size < _BYTES + 3:
        raise EngineError(f"a vocabulary of {size} is too small for a substitute tokenizer: put one beside config.json")
    special = _special_ids(text, size)
    free = (i for i in range(size) if i not in special.values())
    vocabulary = {character: next(free) for character in sorted(pre_tokenizers.ByteLevel.alphabet())}
    vocabulary |= {f"Ġw{i}": i for i in free}
    core = Tokenizer(models.BPE(vocab={**vocabulary, **special}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        eos_token=_END,
        pad_token=_END_OF_TEXT,
        additional_special_tokens=[_START],
    )
    tokenizer.chat_template = _CHATML
    return tokenizer


def _special_ids(config: Any, size: int) -> dict[str, int]:
    """Ids of the three special tokens: the configuration's end and begin, the rest from the top of the vocabulary."""
    ends = config.eos_token_id
    end = next(iter(ends), None) if isinstance(ends, list | tuple) else ends
    wanted = {_END: end, _END_OF_TEXT: config.bos_token_id, _START: None if end is None else end - 1}
    taken: dict[str, int] = {}
    for name, token in wanted.items():
        if token is None or not 0 <= token < size or token in taken.values():
            token = next(i for i in range(size - 1, -1, -1) if i not in taken.values())
        taken[name] = token
    return taken
