#!/bin/sh
# Print the Python to work with: that of the virtual environment when it is there, else the first
# one that is new enough, unless another on this machine is clearly faster. Builds of one version
# differ twofold (a plain `configure && make` against a distribution's profiled one), and an event
# costs what Python costs.
if [ -x .venv/bin/python ]; then
    echo .venv/bin/python
    exit
fi
probe='
import sys, timeit
sys.exit(1) if sys.version_info < (3, 11) else None
import ensurepip, venv
work = "sum(range(9_000)); [str(i) for i in range(999)]"
print(int(1e6 * min(timeit.repeat(work, number=9, repeat=15))))
'
chosen='' chosen_us=0
for python in python3 python3.14 python3.13 python3.12 python3.11 /usr/local/bin/python3 /usr/bin/python3; do
    us=$("$python" -c "$probe" 2>/dev/null) || continue
    # A sixth faster: less may be chance, and the first one is what its owner expects.
    if [ -z "$chosen" ] || [ $((us * 6)) -lt $((chosen_us * 5)) ]; then
        chosen=$python chosen_us=$us
    fi
done
if [ -z "$chosen" ]; then
    # One that is new enough but lacks ensurepip: `make env` says, or installs, what it needs.
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        chosen=$python
        break
    done
fi
echo "$chosen"
