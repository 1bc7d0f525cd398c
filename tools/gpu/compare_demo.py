"""compare_demo.py CPU_FOLDER GPU_FOLDER: are two runs of the demo, one a device, the same within rounding?

Both networks draw the same digits from the same noise, on both devices. The same weights must give the same pictures
up to rounding; weights trained on different devices drift apart as rounding grows over the steps, and are compared by
what they draw.
"""

import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SAME = (
    2e-2  # of pixels in [-1, 1], the same weights on the two devices: rounding, through 20 strides
)
LABELS = list(range(10)) * 4


def main(folders):
    sys.path.insert(0, str(ROOT / "examples" / "digits_diffusion"))
    import diffusion
    import model

    import legato.core as mx

    drawn = {}
    for weights, folder in zip(("cpu", "gpu"), folders, strict=True):
        for device in ("cpu", "gpu"):
            mx.set_default_device(getattr(mx, device))
            network = model.load(folder / "weights.safetensors")
            drawn[weights, device] = np.array(
                diffusion.sample(network, mx.array(LABELS), seed=0)
            ).reshape(len(LABELS), -1)
    failed = False
    for weights in ("cpu", "gpu"):
        apart = np.abs(drawn[weights, "cpu"] - drawn[weights, "gpu"])
        failed |= bool(apart.max() > SAME)
        print(
            f"weights of the {weights}, drawn on both: largest difference of a pixel {apart.max():.2g}"
        )
    trained = np.abs(drawn["cpu", "cpu"] - drawn["gpu", "gpu"])
    alike = np.corrcoef(drawn["cpu", "cpu"].ravel(), drawn["gpu", "gpu"].ravel())[0, 1]
    print(
        f"trained and drawn on each: mean difference {trained.mean():.2g}, correlation {alike:.3f}"
    )
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in folders]
    for name in metrics[0]:
        print(f"{name:32}", *(f"{m.get(name)!s:>22}" for m in metrics))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main([Path(folder) for folder in sys.argv[1:3]]))
