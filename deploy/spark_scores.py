"""Scores windows with Spark and a registered model; see docs/spark.md."""

import mlflow
from pyspark.sql import SparkSession

spark = (
    SparkSession.builder.master("local[2]")
    # Windows in memory at once, of each of Spark's workers.
    .config("spark.sql.execution.arrow.maxRecordsPerBatch", "64")
    .getOrCreate()
)
windows = spark.read.parquet("windows.parquet")  # id, and strain: 12,288 doubles
logit = mlflow.pyfunc.spark_udf(
    spark, "models:/gwres-ensemble@champion", result_type="double", env_manager="local"
)
windows.select("id", logit("strain").alias("logit")).write.parquet("logits.parquet")
