"""Weights by chance that keep activations at about 1."""

import torch


@torch.no_grad()
def randomised(model):
    """The model, every parameter drawn from PyTorch's generator in its own precision: biases 0 +- 0.2, gammas 1 +- 0.2."""
    for name, p in model.named_parameters():
        if p.dim() == 1:
            p.copy_(torch.randn_like(p) * 0.2 + ("norm.weight" in name))
        else:
            p.normal_(std=1.0 if "embd" in name else p.shape[-1] ** -0.5)
    return model
