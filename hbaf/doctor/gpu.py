"""A GPU that lies idle because torch does not see it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from hbaf.doctor.finding import Finding, bad, ok


def look() -> Iterator[Finding]:
    """Whether torch sees the GPU that the machine has."""
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        yield ok("gpu", f"torch {torch.__version__} uses {', '.join(names)}")
        return
    there = installed_gpus()
    if not there:
        yield ok("gpu", f"none in this machine; torch {torch.__version__} uses the CPU")
        return
    message = f"{', '.join(there)} lies idle: "
    if torch.version.cuda is None:
        message += f"torch {torch.__version__} is a build for the CPU"
        fix = "install torch from the index of your CUDA version: https://pytorch.org/get-started"
    elif os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
        message += f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r} hides it"
        fix = "unset CUDA_VISIBLE_DEVICES"
    else:
        message += f"torch {torch.__version__} is built for CUDA {torch.version.cuda}, which the driver does not serve"
        fix = "update the driver, or install torch for the CUDA version that `nvidia-smi` prints"
    yield bad("gpu", message, fix)


def installed_gpus() -> list[str]:
    """What the driver says is there, whether torch sees it or not."""
    tool = shutil.which("nvidia-smi")
    if tool is not None:
        done = subprocess.run(
            [tool, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip().splitlines()
    return ["an NVIDIA GPU"] if Path("/dev/nvidia0").exists() else []
