"""`RowScorer` in the mapInArrow of a real Spark, which needs Java."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import load

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="needs pyspark"),
    pytest.mark.skipif(shutil.which("java") is None, reason="needs a Java runtime"),
]
TEXTS = [f"the train number {number} was late {'again ' * (number % 5)}" for number in range(50)]
CODE = """
import json, os, sys

os.environ["PYSPARK_PYTHON"] = sys.executable
from pyspark.sql import SparkSession
from runtime import RowScorer

spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
rows = [(at, text) for at, text in enumerate(json.load(sys.stdin))]
scorer = RowScorer(sys.argv[1], top_k=1)
frame = spark.createDataFrame(rows, "id bigint, text string").repartition(3)
found = frame.mapInArrow(scorer, f"id bigint, text string, {scorer.ddl}").orderBy("id").collect()
print(json.dumps([row.label for row in found]))
"""


def test_map_in_arrow(int8_artifact: Path) -> None:
    """The same texts get the same labels through Spark."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(int8_artifact)],
        input=json.dumps([*TEXTS, ""]), capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    with load(int8_artifact, provider="cpu") as classifier:
        expected = [item.label for item in classifier.predict_many(TEXTS)]
    assert json.loads(done.stdout.splitlines()[-1]) == [*expected, None]
