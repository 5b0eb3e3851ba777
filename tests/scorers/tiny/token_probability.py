"""Tiny random vision-language models for token probabilities, under the names of the original checkpoints.

The texts that the originals were trained with are not here: short ones of our own stand in their place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from curate.scorers.libraries import import_transformers
from tests.scorers.tiny.cards import Made

HIDDEN = 64
SIDE, PATCH, VISION = 28, 7, 32

SYSTEM = "Somebody talks with a machine that sees."
JUDGE = "Was this taken with a camera? Say one word."

WORDS = ("Yes", "yes", "No", "no", "real", "Real", "fake", "Fake", "assistant", "user")
SPACED = (" Yes", " yes", " No", " no", " excellent", " good", " fair", " poor", " bad", " cat", " picture", " the")

QWEN_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
)

CHAT = """{%- if messages[0].role != 'system' -%}<|im_start|>system
Be brief.<|im_end|>
{% endif -%}
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% for part in message.content -%}
{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}"""


def stand_in(folder: Path, text: str) -> dict[str, Any]:
    """What a card says of a text of somebody else's, with `text` in its place."""
    (folder / "template.txt").write_text(f"{text}\n", encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"role": "template", "length": len(text), "sha256": digest, "origin": "the test that made it"}


def randomise(model: Any, scale: float = 0.1) -> None:
    """Initial weights leave pictures nearly alike; larger ones make every part of the formula count."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape) * scale)


# Qwen2.5-VL


def byte_level(words: Sequence[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-level vocabulary in which each word is one token, and the merges that make it so; words with a blank come first."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = ByteLevel(add_prefix_space=False, use_regex=False)
    vocabulary = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
    merges = []
    for word in words:
        spelled = letters.pre_tokenize_str(word)[0][0]
        for end in range(1, len(spelled)):
            if spelled[: end + 1] not in vocabulary:
                vocabulary[spelled[: end + 1]] = len(vocabulary)
                merges.append((spelled[:end], spelled[end]))
    return vocabulary, merges


def qwen_processor() -> Any:
    """Qwen2.5-VL's processor over a small vocabulary, with its real control tokens."""
    transformers = import_transformers()
    vocabulary, merges = byte_level((*SPACED, *WORDS))
    tokenizer = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=merges, unk_token=None)
    added = [transformers.AddedToken(token, special=True, normalized=False) for token in QWEN_TOKENS]
    tokenizer.add_tokens(added, special_tokens=True)
    return transformers.Qwen2_5_VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessorPil(min_pixels=3136, max_pixels=12845056),
        tokenizer=tokenizer,
        video_processor=transformers.Qwen2VLVideoProcessor(),
        chat_template=CHAT,
    )


def qwen_config(tokenizer: Any, width: int) -> Any:
    # Of the pairs of numbers in a head, two eighths turn by time, and three each by height and width.
    sections = [width // 32, width // 64 * 3, width // 64 * 3]
    text = {
        "vocab_size": len(tokenizer) + 40,
        "hidden_size": width,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": sections},
    }
    vision = {
        "depth": 2,
        "num_heads": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "out_hidden_size": width,
        "window_size": 56,
        "fullatt_block_indexes": [1],
        "patch_size": 14,
        "temporal_patch_size": 2,
    }
    names = {"image": "<|image_pad|>", "video": "<|video_pad|>", "vision_start": "<|vision_start|>"}
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    return import_transformers().Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **ids)


def save_qwen(folder: Path, *, width: int = HIDDEN) -> None:
    """A Qwen2.5-VL whose weights have the names of the checkpoints on the hub: `visual.*`, `model.*`, `lm_head.weight`."""
    from safetensors.torch import save_file

    processor = qwen_processor()
    config = qwen_config(processor.tokenizer, width)
    torch.manual_seed(3)
    model = import_transformers().Qwen2_5_VLForConditionalGeneration(config)
    randomise(model)
    config.architectures = ["Qwen2_5_VLForConditionalGeneration"]
    config.save_pretrained(folder)
    processor.save_pretrained(folder)
    save_file({hub_name(name): weight.contiguous() for name, weight in model.state_dict().items()}, folder / "model.safetensors")


def hub_name(name: str) -> str:
    return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")


# LLaVA, which is no Qwen: a beginning of its own, pictures of one size, another way of talking.


LLAVA_CHAT = (
    "{% for message in messages %}USER: {% for part in message.content %}"
    "{% if part.type == 'image' %}<image>\n{% else %}{{ part.text }}{% endif %}{% endfor %}{% endfor %} ASSISTANT:"
)


def llava_processor() -> Any:
    transformers = import_transformers()
    vocabulary, merges = byte_level((" yes", " no", "Yes", "No"))
    tokenizer = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=merges, unk_token=None)
    added = [transformers.AddedToken(token, special=True, normalized=False) for token in ("<s>", "</s>", "<image>")]
    tokenizer.add_tokens(added, special_tokens=True)
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    return transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_CHAT,
    )


def save_llava(folder: Path) -> None:
    transformers = import_transformers()
    processor = llava_processor()
    sizes: dict[str, Any] = {"num_attention_heads": 4}
    text = {**sizes, "vocab_size": len(processor.tokenizer), "hidden_size": HIDDEN, "intermediate_size": 96}
    text |= {"num_hidden_layers": 2, "num_key_value_heads": 2, "model_type": "llama"}
    vision = {**sizes, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "image_size": 28, "patch_size": 14}
    vision |= {"model_type": "clip_vision_model", "projection_dim": 16}
    image = processor.tokenizer.convert_tokens_to_ids("<image>")
    config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=image)
    torch.manual_seed(7)
    model = transformers.LlavaForConditionalGeneration(config)
    randomise(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


# CLIP-FlanT5


def t5_tokenizer() -> Any:
    """T5's tokenizer over a small Unigram vocabulary; braces and other rare characters are unknown to it, as to the real one."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:?!\"'</>|_"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [("▁Yes", -3.0), ("▁cat", -3.5), ("▁Does", -3.5), ("▁figure", -3.5), ("▁show", -3.5), ("▁answer", -3.5)]
    pieces += [(letter, -6.0) for letter in letters]
    return import_transformers().T5Tokenizer(vocab=pieces, extra_ids=0, additional_special_tokens=None)


def save_flant5(folder: Path) -> None:
    """Config, pickled weights and tokenizer as `zhiqiulin/clip-flant5-xxl` has them, and the config of its CLIP."""
    from safetensors.torch import save_file

    from curate.scorers.vlm.clip_t5 import ClipT5Config, SeeingT5

    tokenizer = t5_tokenizer()
    tokenizer.save_pretrained(folder / "tokenizer")
    config = {
        "model_type": "clip_t5",
        "vocab_size": len(tokenizer) + 28,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 4,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "mm_hidden_size": VISION,
        "mm_vision_tower": "somewhere/clip",
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": -2,
    }
    for name in ("model", "vision"):
        (folder / name).mkdir(parents=True)
    (folder / "model" / "config.json").write_text(json.dumps(config))
    vision = import_transformers().CLIPVisionConfig(
        hidden_size=VISION, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, image_size=SIDE, patch_size=PATCH
    )
    whole = {"model_type": "clip", "vision_config": vision.to_dict(), "text_config": {}}
    (folder / "vision" / "config.json").write_text(json.dumps(whole))
    torch.manual_seed(5)
    model = SeeingT5(ClipT5Config.from_dict(config), vision)
    randomise(model)
    with torch.no_grad():
        model.lm_head.weight.mul_(0.1)  # Yes and the end have to be likely enough for a tolerance of 1e-5 to mean something.
    save_file(flant5_state(model), folder / "model" / "model.safetensors", metadata={"format": "pt"})


def flant5_state(model: Any) -> dict[str, torch.Tensor]:
    """The weights under the names of the original class, the embeddings under all of theirs."""
    tower = "vision_tower.vision_tower."
    state = {
        name.replace(tower, f"{tower}vision_model.") if "vision_model" not in name else name: weight.clone()
        for name, weight in model.state_dict().items()
    }
    for name in ("embed_tokens", "encoder.embed_tokens", "decoder.embed_tokens"):
        state[f"{name}.weight"] = state["shared.weight"].clone()  # safetensors has no two names for one tensor
    return state


# What stands in a card.


def tiny_qwen(folder: Path) -> Made:
    save_qwen(folder / "model")
    return Made(
        weights={"model": {"path": "model"}},
        args={"dtype": "float32", "least_mass": 0.0, "min_pixels": 4 * 784, "max_pixels": 12 * 784},
    )


def tiny_judge(folder: Path) -> Made:
    made = tiny_qwen(folder)
    weights = {**made.weights, "template": {"path": "template.txt"}}
    return Made(weights=weights, args={**made.args, "template": stand_in(folder, JUDGE)})


def tiny_flant5(folder: Path) -> Made:
    save_flant5(folder)
    weights = {name: {"path": name} for name in ("model", "vision", "tokenizer")}
    return Made(
        weights={**weights, "template": {"path": "template.txt"}},
        args={"dtype": "float32", "side": SIDE, "system": stand_in(folder, SYSTEM)},
    )


TINY = {
    "vqascore-clip-flant5": tiny_flant5,
    "vqascore-qwen2-5-vl": tiny_qwen,
    "level-words-qwen2-5-vl": tiny_qwen,
    "yes-probability": tiny_qwen,
    "forensic-chat": tiny_judge,
}
