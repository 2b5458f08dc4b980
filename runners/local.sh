#!/usr/bin/env bash
# A search on this machine. Run it again and it goes on where it stopped; a finished one says so.
#
#     runners/local.sh                                    200 candidates of the default space, one worker a core
#     BUDGET=400 runners/local.sh                         a larger budget extends the same run
#     SPACE=seq_mnist OUT=outputs/mnist runners/local.sh --data-dir data
#     runners/local.sh --workers 4 --trial-timeout 3600
#
# Arguments are handed on to `evolve` and to `resume` alike, so give only what both know: --workers, --device,
# --data-dir, --ray and what one trial may use. What belongs to a new search stands below.
set -euo pipefail

OUT=${OUT:-outputs/local}    # the run's folder: another search needs another one
SPACE=${SPACE:-digits}       # name of a shipped search space, or a YAML file; of a new run only
SEED=${SEED:-0}              # of a new run only
BUDGET=${BUDGET:-}           # candidates, 200 of a new run; a run keeps its own, a larger one extends it

# Evaluations run side by side, one a core: more threads than one each would only take turns.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

# The environment that the README makes, where it is there and no other is active.
if [ -z "${VIRTUAL_ENV:-}" ] && [ -f .venv/bin/activate ]; then
    # shellcheck disable=SC1091
    . .venv/bin/activate
fi

# exec: Ctrl-C and signals reach the search itself, and its exit status is that of this script.
if [ -e "$OUT/space.yaml" ]; then
    exec python -m topo_search resume "$OUT" ${BUDGET:+--budget "$BUDGET"} "$@"
fi
exec python -m topo_search evolve --space "$SPACE" --seed "$SEED" --budget "${BUDGET:-200}" --out "$OUT" "$@"
