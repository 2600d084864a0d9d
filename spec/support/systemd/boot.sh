# Becomes systemd, the first process of its own namespaces: boot.sh FOLDER NODE
#
# FOLDER has the units in `units`, what the units run in `opt`, a link to node in `bin`, and `log` for their output. The units find
# them at /opt/sluice-echo, /usr/bin/node and /opt/log. Nothing outside of FOLDER changes: all other mounts are read-only, or new.
# The network is that of the machine.
set -eu
folder=$1 node=$2
mount --make-rprivate /
mount -t proc proc /proc
mount --bind "$node" "$folder/opt/node"
mount -t overlay overlay -o "lowerdir=$folder/bin:/usr/bin" /usr/bin
mount -t tmpfs -o mode=755 tmpfs /opt
mkdir /opt/sluice-echo /opt/log
mount --rbind "$folder/opt" /opt/sluice-echo
mount --bind "$folder/log" /opt/log
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/units
cp -r "$folder/units/." /run/units
umount -R /sys/fs/cgroup || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=1777 tmpfs /var/tmp
mount -o remount,bind,ro /
# No units and no generators of the machine.
export container=sluice SYSTEMD_UNIT_PATH=/run/units SYSTEMD_GENERATOR_PATH=/run/none
cd /
exec /usr/lib/systemd/systemd --system --unit=spec.target --show-status=no --log-target=null
