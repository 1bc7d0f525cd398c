"""Draws the digits asked for with the weights that train.py saved.

python generate.py --digits 7294 --out x.png
"""

import argparse
import sys
from pathlib import Path

import diffusion
import numpy as np
import pictures
from console import use_device, whole_number, writable_folder
from model import load

import legato.core as mx


def digits(text: str) -> str:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected digits such as 7294, found '{text}'")
    return text


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--digits", type=digits, required=True, help="what to draw, such as 7294")
    parser.add_argument(
        "--out", type=Path, required=True, help="the picture to write, such as x.png"
    )
    parser.add_argument(
        "--weights", type=Path, default=Path("demo/weights.safetensors"), help="(%(default)s)"
    )
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="same seed, same picture (0)"
    )
    parser.add_argument(
        "--guidance",
        type=float,
        default=diffusion.GUIDANCE,
        help="more: clearer, less varied (%(default)s)",
    )
    parser.add_argument(
        "--steps",
        type=whole_number(1),
        default=diffusion.STEPS,
        help="strides from noise to picture (%(default)s)",
    )
    parser.add_argument(
        "--device", choices=("cpu", "gpu"), help="where to compute (Legato's default)"
    )
    return parser.parse_args()


def main() -> int:
    chosen = options()
    if chosen.out.suffix != ".png":
        sys.exit(f"--out {chosen.out}: the picture is a PNG; give it a name that ends in .png")
    if not chosen.weights.is_file():
        sys.exit(f"--weights: there is no file '{chosen.weights}'. Train first: ./dev demo")
    writable_folder("--out", chosen.out.parent)
    use_device(chosen.device)
    try:
        network = load(chosen.weights)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"--weights: cannot use '{chosen.weights}': {error}")
    labels = mx.array([int(digit) for digit in chosen.digits])
    drawn = diffusion.sample(
        network, labels, seed=chosen.seed, steps=chosen.steps, guidance=chosen.guidance
    )
    pictures.save_line(chosen.out, np.array(drawn)[..., 0])
    print(f"The picture is {chosen.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
