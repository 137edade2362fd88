#!/bin/bash
# Starts @title on this machine, once; it goes on after you log out.
# @mark
# Its log is logs/@name.log; stop-dispatch.sh ends it.
cd @directory || exit 1
. ./env.sh
mkdir -p blocks logs || exit 1

# the lock belongs to the background process, and ends with it however that ends
exec 9>> logs/@name.lock
flock --nonblock --conflict-exit-code 3 9
case $? in
    0) ;;
    3) echo "It runs already: $(cat logs/@name.pid). Its log is $PWD/logs/@name.log."; exit 0 ;;
    *) echo "error: no file can be locked in $PWD: put this directory on another file system." >&2; exit 1 ;;
esac

rm -f logs/dispatcher-fault.txt

run() {
    echo "process $BASHPID on $(hostname)" > logs/@name.pid
    while true; do
        @command
        # an answer of sbatch that cannot be read: each further attempt would make another job
        [ $? -eq 3 ] && break
        # one refused submission, or one lost connection, ends the command above
        sleep 10
    done
}
export -f run
nohup setsid bash -c run < /dev/null >> logs/@name.log 2>&1 &
echo "Started @title. Its log is $PWD/logs/@name.log."
