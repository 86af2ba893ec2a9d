#!/bin/sh
# Policy on GPUs 0 and 1, reward on 2, held-out reward on 3, judge on 4 and 5; until Ctrl-C.
set -eu
trap 'kill 0' EXIT

# Thinking is off: a critique does its work, and each of the N answers would pay for it.
CUDA_VISIBLE_DEVICES=0,1 vllm serve Qwen/Qwen3.6-27B \
  --port 8000 --tensor-parallel-size 2 --max-model-len 32768 \
  --default-chat-template-kwargs '{"enable_thinking": false}' &

CUDA_VISIBLE_DEVICES=2 vllm serve Skywork/Skywork-Reward-V2-Llama-3.1-8B \
  --port 8001 --runner pooling --max-model-len 16384 &

CUDA_VISIBLE_DEVICES=3 vllm serve allenai/Llama-3.1-8B-Instruct-RM-RB2 \
  --port 8002 --runner pooling --max-model-len 16384 &

CUDA_VISIBLE_DEVICES=4,5 vllm serve openai/gpt-oss-120b \
  --port 8003 --tensor-parallel-size 2 --max-model-len 65536 &

wait
