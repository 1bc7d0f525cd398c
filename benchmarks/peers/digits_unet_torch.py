"""The training step of examples/digits_diffusion in PyTorch: a peer to measure against.

    python benchmarks/peers/digits_unet_torch.py --mode eager --threads 2

Same network, loss, optimizer and weight average as the example; memory is channels last too, AdamW
and the average take PyTorch's fused forms. Prints one line of JSON: `ms_per_step`, its spread,
`images_per_second`, `first_step_seconds` (compilation included), `import_seconds`.
"""

import argparse
import json
import math
import time

import_start = time.perf_counter()

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

IMPORT_SECONDS = time.perf_counter() - import_start

WIDTHS = {"tiny": 16, "small": 32, "large": 64}
GROUPS, HEADS, NO_CLASS, LABEL_DROP = 8, 2, 10, 0.1


class UNet(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        deep, embedding = 2 * width, 4 * width
        self.first, self.second = nn.Linear(64, embedding), nn.Linear(embedding, embedding)
        self.register_buffer(
            "frequencies", torch.linspace(0, math.log(1000), 32).exp(), persistent=False
        )
        self.label = nn.Embedding(NO_CLASS + 1, embedding)
        self.enter = nn.Conv2d(1, width, 3, padding=1)
        self.down = ResidualBlock(width, width, embedding)
        self.shrink = nn.Conv2d(width, deep, 3, stride=2, padding=1)
        self.down_deep = ResidualBlock(deep, deep, embedding)
        self.attention = Attention(deep)
        self.middle = ResidualBlock(deep, deep, embedding)
        self.up_deep = ResidualBlock(2 * deep, deep, embedding)
        self.grow = nn.Conv2d(deep, width, 3, padding=1)
        self.up = ResidualBlock(2 * width, width, embedding)
        self.norm = nn.GroupNorm(GROUPS, width)
        self.leave = zeroed(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, z, t, labels):
        angles = t[:, None] * self.frequencies
        time_embedding = self.second(
            F.silu(self.first(torch.cat([angles.sin(), angles.cos()], dim=-1)))
        )
        condition = F.silu(time_embedding + self.label(labels))
        fine = self.down(self.enter(z), condition)
        coarse = self.attention(self.down_deep(self.shrink(fine), condition))
        x = self.middle(coarse, condition)
        x = self.up_deep(torch.cat([x, coarse], dim=1), condition)
        x = self.grow(F.interpolate(x, scale_factor=2))
        x = self.up(torch.cat([x, fine], dim=1), condition)
        return self.leave(F.silu(self.norm(x)))


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, out_channels: int, embedding: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * out_channels)
        self.norm2 = nn.GroupNorm(GROUPS, out_channels)
        self.conv2 = zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        same = channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x, condition):
        scale, shift = self.modulate(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        return self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift)) + self.shortcut(x)


class Attention(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.merge = zeroed(nn.Linear(channels, channels))

    def forward(self, x):
        n, c, h, w = x.shape
        tokens = (
            self.norm(x).permute(0, 2, 3, 1).reshape(n, h * w, c)
        )  # no copy: memory is channels last
        qkv = self.queries_keys_values(tokens).view(n, h * w, 3, HEADS, c // HEADS)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, h, w, c)
        return x + self.merge(seen).permute(0, 3, 1, 2)


def zeroed(layer):
    nn.init.zeros_(layer.weight)
    return layer


def diffusion_loss(network, images, labels):
    count = len(images)
    t = torch.rand(count, device=images.device)
    alpha, sigma = (
        (t * (math.pi / 2)).cos().view(-1, 1, 1, 1),
        (t * (math.pi / 2)).sin().view(-1, 1, 1, 1),
    )
    noise = torch.randn_like(images)
    labels = torch.where(torch.rand(count, device=images.device) < LABEL_DROP, NO_CLASS, labels)
    v = network(alpha * images + sigma * noise, t, labels)
    return F.mse_loss(v, alpha * noise - sigma * images)


class Trainer:
    """A network with its optimizer and weight average; `step(images, labels)` is measured."""

    def __init__(self, width: int, steps: int, mode: str = "eager", device: str = "cpu"):
        """mode: "eager", "compile", or a mode of torch.compile."""
        self.network = UNet(width).to(device, memory_format=torch.channels_last)
        self.average = UNet(width).to(device, memory_format=torch.channels_last)
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), 3e-3, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.learning_rate = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda i: (
                i / 30
                if i < 30
                else 0.5 * (1 + math.cos(math.pi * min(1.0, (i - 30) / max(1, steps - 30))))
            ),
        )
        if mode == "eager":
            self.loss = diffusion_loss
        else:
            self.loss = torch.compile(diffusion_loss, mode=None if mode == "compile" else mode)
        self.made = 0

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.network, images, labels)
        loss.backward()
        self.optimizer.step()
        self.learning_rate.step()
        self.made += 1
        decay = (1 + self.made) / (10 + self.made)
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.network.parameters()), 1 - decay
            )
        return loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mode", choices=("eager", "compile"), default="eager")
    parser.add_argument("--size", choices=WIDTHS, default="small")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()

    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    trainer = Trainer(WIDTHS[chosen.size], chosen.steps, chosen.mode)
    images = torch.randn(chosen.batch, 1, 8, 8).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (chosen.batch,))

    start = time.perf_counter()
    trainer.step(images, labels)
    first = time.perf_counter() - start
    for _ in range(3):
        trainer.step(images, labels)
    milliseconds = []
    for _ in range(chosen.steps):
        start = time.perf_counter()
        trainer.step(images, labels)
        milliseconds.append((time.perf_counter() - start) * 1e3)
    milliseconds.sort()
    median = milliseconds[len(milliseconds) // 2]
    spread = [milliseconds[len(milliseconds) // 10], milliseconds[len(milliseconds) * 9 // 10]]
    result = {
        "framework": f"torch {torch.__version__}",
        "mode": chosen.mode,
        "size": chosen.size,
        "params": sum(p.numel() for p in trainer.network.parameters()),
        "batch": chosen.batch,
        "threads": chosen.threads,
        "ms_per_step": round(median, 2),
        "ms_10_90": [round(ms, 2) for ms in spread],
        "images_per_second": round(chosen.batch / median * 1e3, 1),
        "first_step_seconds": round(first, 3),
        "import_seconds": round(IMPORT_SECONDS, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
