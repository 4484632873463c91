"""Start a Dask scheduler here and its workers as SLURM jobs: ``python cluster/slurm.py --jobs 4``.

Prints the address for ``sweep --scheduler ADDRESS`` and stays until it is interrupted. With
``--print`` it only shows the job script.
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

import dask.config
import yaml
from dask_jobqueue import SLURMCluster

SETTINGS = Path(__file__).with_name("slurm.yml")


def slurm_cluster(settings: Path = SETTINGS) -> SLURMCluster:
    """Return the cluster that the file ``settings`` describes; it has no jobs yet."""
    dask.config.update(dask.config.config, yaml.safe_load(settings.read_text(encoding="utf-8")))
    return SLURMCluster(scheduler_options={"dashboard_address": ":0"})


def main() -> None:
    """Show the job script, or start the scheduler and submit the jobs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--print", action="store_true", help="show the job script and end")
    options = parser.parse_args()
    with slurm_cluster() as cluster:
        print(cluster.job_script() if options.print else cluster.scheduler_address, flush=True)
        if not options.print:
            # jobs that end, by their time limit say, are submitted again
            cluster.adapt(minimum_jobs=options.jobs, maximum_jobs=options.jobs)
            signal.pause()


if __name__ == "__main__":
    main()
