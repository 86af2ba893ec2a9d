"""Train a model on the pairs of a run, with TRL's DPO; a small model trains on the CPU.

pip install '.[hf]' trl
python examples/training_pairs.py pairs
python examples/train_dpo.py pairs/pairs.jsonl HuggingFaceTB/SmolLM2-135M-Instruct trained
"""

import sys
from pathlib import Path


def main(pairs: Path, model: str, out: Path, steps: int = 20) -> float:
    """Train, save the model, and return the last loss.

    Args:
        pairs: the file of `tpo export --format dpo`.
        model: a name on the Hugging Face Hub, or a folder.
        out: where the trained model goes.
        steps: updates of the weights.
    """
    import torch
    from datasets import load_dataset
    from trl import DPOConfig, DPOTrainer

    if not pairs.stat().st_size:
        raise SystemExit(f"{pairs} holds no pairs: `tpo export` reports on stderr why it left queries out.")
    settings = DPOConfig(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=2,
        learning_rate=1e-5,
        max_length=512,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        # TRL trains in bfloat16 by default, which it refuses on a CPU.
        use_cpu=not torch.cuda.is_available(),
        bf16=torch.cuda.is_available(),
    )
    rows = load_dataset("json", data_files=str(pairs), split="train")
    trainer = DPOTrainer(model, args=settings, train_dataset=rows)
    loss = trainer.train().training_loss
    trainer.save_model(str(out))
    print(f"{len(rows)} pairs, {steps} steps, mean loss {loss:.4f}; the model is in {out}")
    return float(loss)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
