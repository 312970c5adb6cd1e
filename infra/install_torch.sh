#!/bin/sh
# Installs the pinned torch: a CPU build unless CUDA=1. Refuses, before any download, a wheel that would
# bring CUDA to a machine that did not ask for it.
set -eu
python="$1"
pinned=$(grep '^torch==' constraints.txt)
if "$python" -c "import torch, sys; sys.exit(torch.__version__.split('+')[0] != '${pinned#torch==}')" 2>/dev/null; then
  exit 0
fi
if [ -n "${CUDA:-}" ]; then
  exec "$python" -m pip install --quiet "$pinned"
fi
if [ -n "${TORCH_INDEX:-}" ]; then
  exec "$python" -m pip install --quiet --index-url "$TORCH_INDEX" "$pinned"
fi
# `pip install --dry-run` tells which wheel and which companions would come.
report=$("$python" -m pip install --dry-run --quiet --ignore-installed --report - "$pinned")
if printf '%s' "$report" | grep -qiE '"name": *"(nvidia-|cuda-)'; then
  if [ "$(uname -s)" = Linux ] && [ ! -e /dev/nvidiactl ]; then
    echo "torch: the index offers only the CUDA build (several GB) and this machine has no NVIDIA GPU." >&2
    echo "Run again with TORCH_INDEX=<PyTorch's CPU wheel index>, or with CUDA=1 if you want that build." >&2
    exit 1
  fi
  echo "torch: an NVIDIA GPU is here but CUDA=1 was not given; installing the CUDA build needs CUDA=1." >&2
  exit 1
fi
exec "$python" -m pip install --quiet "$pinned"
