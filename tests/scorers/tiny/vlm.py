"""Tiny random vision-language models of the true architectures, under the names of the original checkpoints.

The long questions of the originals are not here: short ones of our own stand in their place, with their own length and hash.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from curate.scorers.libraries import import_transformers
from tests.scorers.tiny.cards import Made

HIDDEN = 32
AREA = 4 * 28 * 28
CONTEXT = 600
TAIL = "\nRate this picture: <|Reward|>\nEND\n"

QWEN_TOKENS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
IDEFICS_TOKENS = ("<unk>", "<s>", "</s>", "<fake_token_around_image>", "<image>")


def template(folder: Path, constant: str, text: str, *, role: str = "template") -> dict[str, Any]:
    """What a card says of a text, which is put into a Python file as the originals have theirs."""
    path = folder / f"{role}.py"
    path.write_text(f"import nothing_that_exists\n\n{constant} = {text!r}\n", encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"role": role, "length": len(text), "sha256": digest, "origin": "the test that made it"}


def qwen_tokenizer() -> Any:
    """Qwen's tokenizer over single bytes, without merges; the padded vocabulary of the base is larger, as the real one's."""
    from tokenizers.pre_tokenizers import ByteLevel

    transformers = import_transformers()
    tokenizer = transformers.Qwen2Tokenizer(vocab={c: i for i, c in enumerate(sorted(ByteLevel.alphabet()))}, merges=[])
    added = [transformers.AddedToken(token, special=True, normalized=False) for token in QWEN_TOKENS]
    tokenizer.add_tokens(added, special_tokens=True)
    return tokenizer


def qwen_config(kind: str, tokenizer: Any) -> Any:
    transformers = import_transformers()
    text = {
        "vocab_size": len(tokenizer) + 50,
        "hidden_size": HIDDEN,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": None,
        "eos_token_id": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
    }
    vision: dict[str, Any] = {"depth": 2, "num_heads": 2, "patch_size": 14, "temporal_patch_size": 2, "spatial_merge_size": 2}
    if kind == "qwen2_vl":
        vision |= {"embed_dim": 32, "hidden_size": HIDDEN, "mlp_ratio": 2}
        config_class = transformers.Qwen2VLConfig
    else:
        vision |= {"hidden_size": 32, "intermediate_size": 48, "out_hidden_size": HIDDEN, "window_size": 56}
        vision |= {"fullatt_block_indexes": [1]}
        config_class = transformers.Qwen2_5_VLConfig
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in (("image", "<|image_pad|>"), ("video", "<|video_pad|>"), ("vision_start", "<|vision_start|>"))
    }
    return config_class(text_config=text, vision_config=vision, **ids)


def qwen_state(kind: str, rewards: int, seed: int) -> dict[str, torch.Tensor]:
    """Random weights of a network whose embedding was resized to the tokenizer with `rewards` tokens more."""
    transformers = import_transformers()
    tokenizer = qwen_tokenizer()
    config = qwen_config(kind, tokenizer)
    config.text_config.vocab_size = len(tokenizer) + rewards
    torch.manual_seed(seed)
    model = transformers.Qwen2VLModel(config) if kind == "qwen2_vl" else transformers.Qwen2_5_VLModel(config)
    return {name: noisy(weight) for name, weight in model.state_dict().items()}


def noisy(weight: torch.Tensor) -> torch.Tensor:
    """Initial weights leave states nearly alike; larger ones make every part of the formula count."""
    return weight + 0.2 * torch.randn(weight.shape)


def random_linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> dict[str, torch.Tensor]:
    weights = {f"{name}.weight": torch.randn(outputs, inputs) / inputs**0.5}
    return weights | ({f"{name}.bias": torch.randn(outputs) * 0.2} if bias else {})


def rank_weights(prefix: str) -> dict[str, torch.Tensor]:
    """The head hidden-1024-16-2 under its names."""
    sizes = {"0": (HIDDEN, 1024), "3": (1024, 16), "5": (16, 2)}
    layers = [random_linear(f"{prefix}.{layer}", *size) for layer, size in sizes.items()]
    return {name: weight for layer in layers for name, weight in layer.items()}


def named_as_in_4_45(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`visual.*` and `model.*`, with a language head."""
    old = {name.replace("language_model.", "model."): weight for name, weight in state.items()}
    return old | {"lm_head.weight": torch.randn_like(old["model.embed_tokens.weight"])}


def named_as_in_4_57(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`model.visual.*` and `model.language_model.*`, with a language head."""
    new = {f"model.{name}": weight for name, weight in state.items()}
    return new | {"lm_head.weight": torch.randn_like(new["model.language_model.embed_tokens.weight"])}


def with_adapters(state: Mapping[str, torch.Tensor], *, rank: int) -> dict[str, torch.Tensor]:
    """A checkpoint as PEFT names it: low-rank adapters on every linear layer of the language model."""
    named = {}
    for name, weight in state.items():
        if "model.layers." in name and "_proj." in name:
            layer, _, kind = name.rpartition(".")
            named[f"base_model.model.{layer}.base_layer.{kind}"] = weight
            if kind == "weight":
                named[f"base_model.model.{layer}.lora_A.default.weight"] = torch.randn(rank, weight.shape[1]) * 0.2
                named[f"base_model.model.{layer}.lora_B.default.weight"] = torch.randn(weight.shape[0], rank) * 0.2
        else:
            named[f"base_model.model.{name}"] = weight
    return named


def save(folder: Path, kind: str, state: Mapping[str, torch.Tensor]) -> dict[str, dict[str, str]]:
    """A checkpoint and the folder of its base model, as `weights` of a card."""
    from safetensors.torch import save_file

    tokenizer = qwen_tokenizer()
    qwen_config(kind, tokenizer).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    save_file({name: weight.contiguous() for name, weight in state.items()}, folder / "checkpoint.safetensors")
    return {"model": {"path": "checkpoint.safetensors"}, "base": {"path": "base"}}


def hpsv3(folder: Path) -> Made:
    state = named_as_in_4_45(qwen_state("qwen2_vl", 1, seed=1)) | rank_weights("rm_head")
    text = template(folder, "INSTRUCTION", "\nHow good is this picture of a prompt?\nPrompt - {text_prompt}\n")
    passes = [{"dimension": "preference", "template": text, "head": "rm_head"}]
    weights = save(folder, "qwen2_vl", state) | {"template": {"path": "template.py"}}
    return Made(weights=weights, args={"pixels": AREA, "passes": passes, "tail": TAIL})


def editreward(folder: Path) -> Made:
    state = (
        named_as_in_4_57(qwen_state("qwen2_5_vl", 1, seed=2)) | rank_weights("rm_heads.head_0") | rank_weights("rm_heads.head_1")
    )
    asked = {"following": "Was this done: {text_prompt}", "quality": "Does it look right after {text_prompt}?\n"}
    passes = [
        {"dimension": name, "template": template(folder, "ASKED", text, role=name), "head": f"rm_heads.head_{number}"}
        for number, (name, text) in enumerate(asked.items())
    ]
    weights = save(folder, "qwen2_5_vl", state) | {name: {"path": f"{name}.py"} for name in asked}
    return Made(weights=weights, args={"pixels": AREA, "passes": passes, "tail": TAIL})


def videoreward(folder: Path, *, rows: int = 1) -> Made:
    base = named_as_in_4_45(qwen_state("qwen2_vl", 3, seed=3)) | random_linear("rm_head", HIDDEN, rows, bias=False)
    text = template(folder, "DETAILED", "Look <|VQ_reward|>\nMotion <|MQ_reward|>\n{text_prompt}\nFit <|TA_reward|>\n")
    weights = save(folder, "qwen2_vl", with_adapters(base, rank=4)) | {"template": {"path": "template.py"}}
    return Made(weights=weights, args={"template": text, "min_pixels": 28 * 28, "max_pixels": AREA, "lora_alpha": 8})


def idefics_tokenizer() -> Any:
    """A tokenizer of bytes and blanks by the rules of Mistral 0.1: each text between tokens begins with a mark."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors

    transformers = import_transformers()
    letters = [f"<0x{byte:02X}>" for byte in range(256)] + ["▁", "▁▁"]
    vocabulary = {token: number for number, token in enumerate([*IDEFICS_TOKENS, *letters])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[("▁", "▁")], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    named: Sequence[Any] = [transformers.AddedToken(token, special=True, normalized=False) for token in IDEFICS_TOKENS]
    backend.add_special_tokens(list(named))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>"
    )


def idefics_config(tokenizer: Any) -> Any:
    transformers = import_transformers()
    text = {
        "model_type": "mistral",
        "vocab_size": len(tokenizer),
        "hidden_size": HIDDEN,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "sliding_window": None,
        "pad_token_id": 0,
    }
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"image_size": 56, "patch_size": 14}
    perceiver = {
        "hidden_size": HIDDEN,
        "resampler_n_latents": 3,
        "resampler_depth": 2,
        "resampler_n_heads": 2,
        "resampler_head_dim": 8,
        "num_key_value_heads": 1,
    }
    return transformers.Idefics2Config(
        text_config=text,
        vision_config=vision,
        perceiver_config=perceiver,
        image_token_id=IDEFICS_TOKENS.index("<image>"),
        tie_word_embeddings=False,
    )


def videoscore(folder: Path) -> Made:
    from safetensors.torch import save_file

    tokenizer = idefics_tokenizer()
    config = idefics_config(tokenizer)
    torch.manual_seed(4)
    model = import_transformers().Idefics2Model(config)
    state = {f"model.{name}": noisy(weight).contiguous() for name, weight in model.state_dict().items()}
    state |= random_linear("score", HIDDEN, 5)
    config.save_pretrained(folder / "model")
    # As it is fetched from the hub: with no word of a class beside it.
    tokenizer.backend_tokenizer.save(str(folder / "model" / "tokenizer.json"))
    names = sorted(state)
    for number, part in enumerate((names[::2], names[1::2]), 1):
        save_file({name: state[name] for name in part}, folder / "model" / f"model-0000{number}-of-00002.safetensors")
    text = template(folder, "REGRESSION", 'Judge the video of "{text_prompt}",\nwhose frames are:\n')
    weights = {"model": {"path": "model"}, "template": {"path": "template.py"}}
    return Made(weights=weights, args={"template": text, "shortest": 28, "longest": 56})


IXC_VISION = {
    "image_size": 56,
    "patch_size": 14,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def ixc_config(vocabulary: int) -> dict[str, Any]:
    """What the config.json of the original says, in its names."""
    return {
        "model_type": "internlmxcomposer2",
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000,
        "rope_scaling": {"type": "dynamic", "factor": 1.0},
        "bias": False,
    }


def ixc_state(config: Mapping[str, Any], *, rank: int) -> dict[str, torch.Tensor]:
    """Random weights under the names of the original, written down from its code."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head = hidden // config["num_attention_heads"]
    fused = (config["num_attention_heads"] + 2 * config["num_key_value_heads"]) * head
    linears = {"attention.wqkv": (hidden, fused), "attention.wo": (hidden, hidden), "feed_forward.w2": (inner, hidden)}
    linears |= {"feed_forward.w1": (hidden, inner), "feed_forward.w3": (hidden, inner)}
    state = {
        "model.tok_embeddings.weight": torch.randn(config["vocab_size"], hidden),
        "model.norm.weight": torch.rand(hidden) + 0.5,
    }
    for layer in range(config["num_hidden_layers"]):
        stem = f"model.layers.{layer}"
        state |= {f"{stem}.{norm}.weight": torch.rand(hidden) + 0.5 for norm in ("attention_norm", "ffn_norm")}
        for name, (inputs, outputs) in linears.items():
            state |= random_linear(f"{stem}.{name}", inputs, outputs, bias=False)
            state |= random_linear(f"{stem}.{name}.Plora_A", inputs, rank, bias=False)
            state |= random_linear(f"{stem}.{name}.Plora_B", rank, outputs, bias=False)
    width = 4 * IXC_VISION["hidden_size"]
    state |= random_linear("vision_proj.0", width, hidden) | random_linear("vision_proj.2", hidden, hidden)
    state |= {"plora_glb_GN": torch.randn(1, 1, width), "plora_sub_GN": torch.randn(1, 1, 1, width)}
    transformers = import_transformers()
    tower = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**IXC_VISION))
    state |= {f"vit.vision_tower.vision_model.{name}": noisy(weight) for name, weight in tower.state_dict().items()}
    return state | random_linear("score", hidden, 1, bias=False)


def save_pieces(path: Path) -> int:
    """A SentencePiece model of single characters with the original's marks in it; gives its size."""
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    written = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["the quick brown fox jumps over the lazy dog", "user assistant 0123456789"]),
        model_writer=written,
        model_type="char",
        vocab_size=300,
        byte_fallback=True,
        hard_vocab_limit=False,
        add_dummy_prefix=False,
        user_defined_symbols=[f"[UNUSED_TOKEN_{number}]" for number in (130, 145, 146)] + ["\n"],
        minloglevel=2,
    )
    path.write_bytes(written.getvalue())
    return int(SentencePieceProcessor(model_file=str(path)).get_piece_size())


def ixc(folder: Path) -> Made:
    from safetensors.torch import save_file

    (folder / "model").mkdir()
    config = ixc_config(save_pieces(folder / "model" / "tokenizer.model"))
    (folder / "model" / "config.json").write_text(json.dumps(config))
    torch.manual_seed(6)
    state = {name: weight.detach().contiguous() for name, weight in ixc_state(config, rank=4).items()}
    save_file(state, folder / "model" / "model-00001-of-00001.safetensors")
    return Made(weights={"model": {"path": "model"}}, args={"vision": IXC_VISION, "plora_alpha": 8, "tiles": 4})


TINY = {
    "hpsv3": hpsv3,
    "editreward": editreward,
    "videoreward": videoreward,
    "videoscore": videoscore,
    "ixc-2-5-reward": ixc,
}
