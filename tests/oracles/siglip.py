#!/usr/bin/env python3
"""SigLIP-B by Hugging Face's transformers on made-up weights: the numbers in tests/encoder/models.rs.

pip install torch==2.15.0 transformers safetensors; python3 tests/oracles/siglip.py
"""

import numpy as np
import torch
from transformers import SiglipVisionConfig, SiglipVisionModel


def made_up(name, shape):
    """The tensor that src/inference/made_up.rs makes for a name: SplitMix64 from a seed of the name's bytes."""
    mask = (1 << 64) - 1
    seed = 1
    for byte in name.encode():
        seed = (seed * 0x100000001B3 & mask) ^ byte
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        bits = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
    values = (bits >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    inputs = np.float32(np.prod(shape[1:]))
    if len(shape) == 1:
        mean, spread = (1.0, 0.2) if name.endswith("weight") else (0.0, 0.1)
    elif len(shape) == 3:
        mean, spread = 0.0, 1.0
    else:
        mean, spread = 0.0, np.sqrt(np.float32(4.0 if len(shape) == 4 else 3.0) / inputs)
    return (np.float32(mean) + np.float32(spread) * values).reshape(shape)


def main():
    model = SiglipVisionModel(SiglipVisionConfig(image_size=224, patch_size=16, hidden_size=768, intermediate_size=3072,
                                                 num_hidden_layers=12, num_attention_heads=12)).eval()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            name = name if name.startswith("vision_model.") else "vision_model." + name
            weights.copy_(torch.from_numpy(made_up(name, tuple(weights.shape))))
        picture = made_up("a picture", (1, 1, 1, 224 * 224 * 3)).reshape(224, 224, 3)
        outputs = model(pixel_values=torch.from_numpy(picture).permute(2, 0, 1)[None])
    summary, patches = outputs.pooler_output[0], outputs.last_hidden_state[0]
    print("summary:", [round(v, 5) for v in summary[:8].tolist()])
    print("patch 100:", [round(v, 5) for v in patches[100, :8].tolist()])


if __name__ == "__main__":
    main()
