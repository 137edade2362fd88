#!/bin/bash
# One campaign on one node, without any database:
#
#     sbatch one_node.sh CAMPAIGN.yaml [RUN_DIRECTORY]
#
# Before the walltime ends the run saves itself, and this script submits itself again with the same arguments, until the
# report is there. What is finished is never repeated. Edit the lines below for your cluster; a GPU helps the training.
#SBATCH --job-name=imatgen
#SBATCH --output=imatgen-%j.log
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --no-requeue

# module load ...
# export PATH=~/imatgen/bin:$PATH

export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
export IMATGEN_WORKERS="${IMATGEN_WORKERS:-${SLURM_CPUS_PER_TASK:-0}}"

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "error: give a campaign file, and a run directory where you want another than runs/NAME: sbatch one_node.sh CAMPAIGN.yaml [RUN_DIRECTORY]" >&2
    exit 2
fi

warned=""
# SLURM warns the shell; the run saves itself and ends
trap 'warned=yes; kill -USR1 "$run" 2> /dev/null' USR1
imatgen run "$1" ${2:+--directory "$2"} --resume &
run=$!

# the first `wait` ends with the warning, and the run a little later
while kill -0 "$run" 2> /dev/null; do
    wait "$run"
    status=$?
done
if [ -n "$warned" ] && [ "$status" -ne 0 ]; then
    echo "the walltime ended; submitting again"
    exec sbatch "$0" "$@"
fi
exit "$status"
