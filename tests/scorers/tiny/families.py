"""Tiny random models of other families than Qwen2.5-VL, with processors and chats of their own kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from curate.scorers.libraries import import_transformers
from tests.scorers.tiny.token_probability import CHAT, HIDDEN, SPACED, WORDS, byte_level, qwen_processor, randomise

SHOWN = "<|vision_start|><|image_pad|><|vision_end|>"

TURNS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def text_config(tokenizer: Any, **more: Any) -> dict[str, Any]:
    sizes = {"hidden_size": HIDDEN, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 4096, "vocab_size": len(tokenizer) + 40}
    return {**sizes, "bos_token_id": None, "eos_token_id": None, **more}


def rope(*sections: int, **more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": list(sections), **more}}


def control_ids(tokenizer: Any, **tokens: str) -> dict[str, int]:
    return {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()}


def qwen_ids(tokenizer: Any) -> dict[str, int]:
    marks = {"vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>"}
    return control_ids(tokenizer, image="<|image_pad|>", video="<|video_pad|>", **marks)


def tokenizer_with(*marks: str, **named: str) -> Any:
    transformers = import_transformers()
    vocabulary, merges = byte_level((*SPACED, *WORDS))
    tokenizer = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=merges, unk_token=None, extra_special_tokens=named)
    added = [transformers.AddedToken(token, special=True, normalized=False) for token in (*TURNS, *marks)]
    tokenizer.add_tokens(added, special_tokens=True)
    return tokenizer


def eye(**more: Any) -> dict[str, Any]:
    return {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, **more}


def qwen2_vl() -> tuple[Any, Any]:
    transformers, of_2_5 = import_transformers(), qwen_processor()
    tokenizer = of_2_5.tokenizer
    processor = transformers.Qwen2VLProcessor(
        image_processor=of_2_5.image_processor, tokenizer=tokenizer, video_processor=of_2_5.video_processor, chat_template=CHAT
    )
    vision = {"depth": 2, "num_heads": 2, "embed_dim": 32, "hidden_size": HIDDEN, "mlp_ratio": 2, "patch_size": 14}
    config = transformers.Qwen2VLConfig(
        text_config=text_config(tokenizer, **rope(2, 3, 3)),
        vision_config=vision,
        tie_word_embeddings=False,
        **qwen_ids(tokenizer),
    )
    return transformers.Qwen2VLForConditionalGeneration(config), processor


def qwen3_vl() -> tuple[Any, Any]:
    transformers, tokenizer = import_transformers(), qwen_processor().tokenizer
    processor = transformers.Qwen3VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessorPil(patch_size=16, min_pixels=4096, max_pixels=1 << 20),
        tokenizer=tokenizer,
        video_processor=transformers.Qwen3VLVideoProcessor(),
        chat_template=CHAT,
    )
    vision = {"depth": 2, "num_heads": 2, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": HIDDEN}
    vision |= {"patch_size": 16, "num_position_embeddings": 64}
    config = transformers.Qwen3VLConfig(
        text_config=text_config(tokenizer, head_dim=16, **rope(4, 2, 2, mrope_interleaved=True)),
        vision_config={**vision, "deepstack_visual_indexes": [0, 1]},
        tie_word_embeddings=False,
        **qwen_ids(tokenizer),
    )
    return transformers.Qwen3VLForConditionalGeneration(config), processor


def llava_onevision() -> tuple[Any, Any]:
    transformers, tokenizer = import_transformers(), tokenizer_with("<image>", "<video>")
    tiles = [[28, 28], [28, 56], [56, 28], [56, 56]]
    processor = transformers.LlavaOnevisionProcessor(
        image_processor=transformers.LlavaOnevisionImageProcessorPil(
            size={"height": 28, "width": 28}, image_grid_pinpoints=tiles
        ),
        tokenizer=tokenizer,
        video_processor=transformers.LlavaOnevisionVideoProcessor(),
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=CHAT.replace(SHOWN, "<image>\n"),
    )
    config = transformers.LlavaOnevisionConfig(
        text_config=text_config(tokenizer, model_type="qwen2"),
        vision_config=eye(model_type="siglip_vision_model", image_size=28, patch_size=14, vision_use_head=False),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=tiles,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
    )
    return transformers.LlavaOnevisionForConditionalGeneration(config), processor


def internvl() -> tuple[Any, Any]:
    transformers = import_transformers()
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    tokenizer = tokenizer_with(**named, video_token="<video>")
    side = {"height": 28, "width": 28}
    processor = transformers.InternVLProcessor(
        image_processor=transformers.GotOcr2ImageProcessorPil(size=side, crop_to_patches=False),
        tokenizer=tokenizer,
        video_processor=transformers.InternVLVideoProcessor(size=side),
        image_seq_length=1,
        chat_template=CHAT.replace(SHOWN, "<IMG_CONTEXT>\n"),
    )
    config = transformers.InternVLConfig(
        text_config=text_config(tokenizer, model_type="qwen2"),
        vision_config=eye(image_size=[28, 28], patch_size=[14, 14]),
        image_seq_length=1,
        **control_ids(tokenizer, image="<IMG_CONTEXT>"),
    )
    return transformers.InternVLForConditionalGeneration(config), processor


FAMILIES: Sequence[Callable[[], tuple[Any, Any]]] = (qwen2_vl, qwen3_vl, llava_onevision, internvl)


def save_family(make: Callable[[], tuple[Any, Any]], folder: Path) -> None:
    torch.manual_seed(11)
    model, processor = make()
    randomise(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
