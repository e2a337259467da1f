"""Runs in Optimum's environment: logits of ONNX files, or of Optimum's own export of a checkpoint.

A job on standard input, the outcome on standard output, both JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from optimum.onnxruntime import ORTModelForSequenceClassification
from transformers import AutoTokenizer


def main() -> None:
    """Reads {"folder", "files" or "export_to", "texts", "batches"}; prints {"ids", "logits"}.

    `files` are relative to the folder, and `logits` has an entry for each. With `export_to` the folder is a checkpoint,
    which is exported to there, and the tokenizer with it.
    """
    job: dict[str, Any] = json.load(sys.stdin)
    tokenizer = AutoTokenizer.from_pretrained(job["folder"])
    if "export_to" in job:
        models = [ORTModelForSequenceClassification.from_pretrained(job["folder"], export=True)]
        models[0].save_pretrained(job["export_to"])
        tokenizer.save_pretrained(job["export_to"])
    else:
        files = [Path(file) for file in job["files"]]
        models = [
            ORTModelForSequenceClassification.from_pretrained(
                job["folder"], subfolder=str(file.parent), file_name=file.name
            )
            for file in files
        ]
    batches = [{name: np.array(rows) for name, rows in batch.items()} for batch in job["batches"]]
    logits = [[model(**batch).logits.tolist() for batch in batches] for model in models]
    print(json.dumps({"ids": tokenizer(job["texts"]).input_ids, "logits": logits}))


if __name__ == "__main__":
    main()
