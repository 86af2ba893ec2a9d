#!/bin/sh
# The policy on GPUs 0,1, the reward model on GPU 2; both until Ctrl-C.
set -eu
trap 'kill 0' EXIT

CUDA_VISIBLE_DEVICES=0,1 vllm serve mistralai/Mistral-Small-Instruct-2409 \
  --port 8000 --tensor-parallel-size 2 --max-model-len 16384 &

CUDA_VISIBLE_DEVICES=2 vllm serve sfairXC/FsfairX-LLaMA3-RM-v0.1 \
  --port 8001 --runner pooling --max-model-len 8192 &

wait
