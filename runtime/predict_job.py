"""`python -m runtime.predict --output-dir`: builds the job from the command line and runs it."""

import argparse
import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any

from .artifact.folder import Artifact, read_artifact
from .cli.arguments import layout_of
from .decision.policy import CallOptions, call_policy
from .engine.cpus import available_cpus
from .engine.providers import best_variant
from .environment import environment_info
from .errors import InputError, ProviderError
from .files.formats import InputFormat
from .files.inputs import InputFile, find_inputs
from .files.storage import open_storage, reading_errors
from .jobs.job import Limit, RunParts, run_here, run_job
from .jobs.loading import load_same
from .jobs.output_folder import OutputFolder
from .jobs.part import Job
from .jobs.workers import run_in_processes

VERSIONS = ("litmus", "tokenizers", "onnxruntime")  # what may change a score


def run_output_dir(args: argparse.Namespace) -> int:
    """Runs the job of the command line and returns the exit status, as `run_job`.

    Raises:
        LitmusError: As `run_job`.
    """
    artifact = read_artifact(args.model)
    output = OutputFolder(args.output_dir, f".{args.format}")
    files = _find_inputs(args.input, args.input_format, output)
    ids = [] if args.id_column is None else [args.id_column]
    columns, names = [*ids, *args.keep], [*["id"] * len(ids), *args.keep]  # in the input, and in the output
    layouts = [dataclasses.replace(layout_of(args, file.form), id_column=None, keep=columns) for file in files]
    with reading_errors("the input"):
        statuses = [file.storage.status(file.path) for file in files]
    options: CallOptions = {
        "top_k": args.top_k,
        "thresholds": args.threshold,
        "windows": args.windows == "artifact" or args.windows or False,
    }
    call_policy(artifact.manifest, **options)
    engine, run = _engine(args, artifact)
    job = Job(
        artifact=str(artifact.folder),
        sha256=artifact.sha256,
        engine=engine,
        options=options,
        files=files,
        layouts=layouts,
        statuses=statuses,
        keep=names,
        output=output,
        form=args.format,
        dedupe=not args.no_dedupe,
    )
    return run_job(
        job,
        rows_per_part=args.rows_per_part,
        run=run,
        record=_record(args, job),
        max_rejects=None if args.max_rejects is None else Limit(args.max_rejects),
        restart=args.restart,
        quiet=args.quiet,
    )


def _find_inputs(paths: Sequence[str], form: InputFormat | None, output: OutputFolder) -> list[InputFile]:
    """Returns the inputs; none may be in the output folder, nor that in theirs, because each would become the other."""
    for path in paths:
        if output.is_in(*open_storage(path)):
            raise InputError(f"--output-dir is in the input folder {path}; choose another folder")
    files = find_inputs(paths, form)
    for file in files:
        if output.contains(file.storage, file.path):
            raise InputError(f"{file.name} is in --output-dir; choose another folder")
        try:
            file.name.encode()  # it stands in run.json and in the rejects
        except UnicodeEncodeError:
            raise InputError(f"the file name {file.name!a} is not UTF-8; rename the file") from None
    return files


def _engine(args: argparse.Namespace, artifact: Artifact) -> tuple[dict[str, Any], RunParts]:
    """Returns the arguments of `load` for every process, and what runs them."""
    workers = args.workers or 1
    engine = {name: getattr(args, name) for name in ("provider", "variant", "threads", "profile", "batch_tokens")}
    if args.ray is not None:
        from .cluster.ray_job import on_ray  # noqa: PLC0415 - needs ray

        cpus = args.ray_cpus or 1
        provider = "cpu" if args.provider == "auto" else args.provider
        variant = best_variant(provider, args.variant, artifact.manifest.variants)
        if variant is None:
            name = "variant" if args.variant is None else f"variant {args.variant}"
            raise ProviderError(f"the artifact has no {name} for the provider {provider!r}")
        engine |= {"provider": provider, "variant": variant.name, "threads": args.threads or cpus}
        return engine, on_ray(args.ray or None, actors=args.workers, cpus=cpus)
    if workers > 1:
        engine["threads"] = args.threads or max(1, available_cpus() // workers)
    classifier = load_same(str(artifact.folder), artifact.sha256, engine)
    # so that every process has the same, also when the job is resumed on another machine
    engine |= {"provider": classifier.provider, "variant": classifier.variant}
    if workers == 1:
        return engine, functools.partial(run_here, classifier=classifier)
    classifier.close()
    return engine, functools.partial(run_in_processes, workers=workers)


def _record(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Returns what has to be the same when the job is resumed."""
    versions = {name: environment_info()["versions"][name] for name in VERSIONS}
    if job.form == "parquet":
        from .files.parquet import version  # noqa: PLC0415 - needs pyarrow

        versions["pyarrow"] = version()
    layout = {
        name: getattr(args, name)
        for name in ("text_column", "id_column", "keep", "delimiter", "quoting", "column_names", "encoding")
    }
    return {
        "artifact": {"name": os.path.basename(job.artifact), "sha256": job.sha256},  # noqa: PTH119
        "engine": {name: job.engine[name] for name in ("provider", "variant", "batch_tokens")},
        "options": dict(job.options),
        "layout": layout,
        "format": job.form,
        "dedupe": job.dedupe,
        "versions": versions,
    }
