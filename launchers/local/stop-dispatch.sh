#!/bin/bash
# Ends what the start scripts started on this machine. Jobs in the queue go on.
# @mark
cd @directory || exit 1
for pid in logs/*.pid; do
    [ -e "$pid" ] || continue
    name=$(basename "$pid" .pid)
    # where the lock is free, nothing runs, and the number may belong to another process by now
    flock --nonblock "logs/$name.lock" true && continue
    read -r _ number _ host < "$pid"
    if [ "$host" != "$(hostname)" ]; then
        echo "error: $name runs on $host: log in there, and stop it there." >&2
        failed=1
    else
        kill -- "-$number" && echo "Stopped $name."
    fi
done
exit ${failed:-0}
