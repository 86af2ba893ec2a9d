#!/bin/sh
# The policy on GPUs 0,1,2,3, the reward model on GPU 4; both until Ctrl-C.
set -eu
trap 'kill 0' EXIT

CUDA_VISIBLE_DEVICES=0,1,2,3 vllm serve meta-llama/Llama-3.1-70B-Instruct \
  --port 8000 --tensor-parallel-size 4 --max-model-len 16384 &

CUDA_VISIBLE_DEVICES=4 vllm serve sfairXC/FsfairX-LLaMA3-RM-v0.1 \
  --port 8001 --runner pooling --max-model-len 8192 &

wait
