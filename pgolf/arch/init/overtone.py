"""An embedding whose singular values fall like overtones: S_k = S_1·k^(−power); the rest as in zero_proj.

After N(0, std²): ``E = U S Vᵀ``, ``S_k ← S_1·k^(−½)``, recomposed. At 1024 × 512 the root mean square drops from
0.005 to 0.00099 while the largest singular value stays.
``orthogonal_min`` makes the other linears orthogonal as arch/init=orthogonal does; null keeps their default.
Source: #60, #187; spec arch §11. Only for a tied embedding, which also scores the words.
Cost: none in bytes or step time. Hurts: unmeasured alone; the smaller embedding makes the norm's ε matter.
"""

from __future__ import annotations

import torch

from pgolf.arch.init.steps import normal_embedding, orthogonal_linears, zero_projections
from pgolf.arch.unet import UNet
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import PositiveFloat, PositiveInt


class Overtone:
    def __init__(
        self, *, embedding_std: PositiveFloat, power: PositiveFloat, orthogonal_min: PositiveInt | None
    ) -> None:
        self.embedding_std, self.power, self.orthogonal_min = embedding_std, power, orthogonal_min

    @torch.no_grad()
    def apply(self, model: UNet) -> None:
        """Initialise ``model`` in place; raises ConfigError for an untied head."""
        if model.head is not None:
            raise ConfigError(
                "arch.init: overtone shapes an embedding that is also the head; choose arch.tie_embeddings=true "
                "or arch/init=zero_proj or orthogonal"
            )
        normal_embedding(model, self.embedding_std)
        left, spectrum, right = torch.linalg.svd(model.embedding, full_matrices=False)
        order = torch.arange(1, spectrum.numel() + 1, dtype=spectrum.dtype, device=spectrum.device)
        model.embedding.copy_((left * (spectrum[0] * order**-self.power)) @ right)
        if self.orthogonal_min is not None:
            orthogonal_linears(model, self.orthogonal_min)
        zero_projections(model)
