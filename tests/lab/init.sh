#!/bin/sh
# The first process of the guest: mounts, modules, network, cgroups, and a server that runs the test's scripts.
#
# In:  "lab.cgroup=v2|v1|hybrid" on the kernel's command line; modules in /lab/modules in the order of their names.
# Out: port 8001 answers POST /cgi-bin/exec; "lab: ready" on the serial line.
export PATH=/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null

for module in /lab/modules/*.ko; do
    insmod "$module" || echo "lab: cannot load $module"
done

ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2

mount_v1() {
    mkdir -p "$1/cpu,cpuacct" "$1/systemd"
    mount -t cgroup -o cpu,cpuacct cgroup "$1/cpu,cpuacct"
    ln -s cpu,cpuacct "$1/cpu"
    ln -s cpu,cpuacct "$1/cpuacct"
    mkdir -p "$1/net_cls,net_prio"
    mount -t cgroup -o net_cls,net_prio cgroup "$1/net_cls,net_prio"
    # All that the kernel has: one that is left over would show up in a cgroup2 tree.
    for controller in $(awk '!/^#/ && $1 !~ /^(cpu|cpuacct|net_cls|net_prio)$/ { print $1 }' /proc/cgroups); do
        mkdir -p "$1/$controller"
        mount -t cgroup -o "$controller" cgroup "$1/$controller"
    done
    mount -t cgroup -o none,name=systemd cgroup "$1/systemd"
}

layout=$(sed -n 's/.*lab\.cgroup=\([a-z0-9]*\).*/\1/p' /proc/cmdline)
case "$layout" in
    v2)
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        for controller in cpu memory io pids cpuset hugetlb rdma misc; do
            echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control || echo "lab: no controller $controller"
        done
        ;;
    v1 | hybrid)
        mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
        mount_v1 /sys/fs/cgroup
        if [ "$layout" = hybrid ]; then
            mkdir /sys/fs/cgroup/unified
            mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
        fi
        ;;
    *) echo "lab: lab.cgroup is \"$layout\"" ;;
esac

# A real disk, so that containers have block input and output to count.
mkdir -p /scratch
mount -t ext4 /dev/vda /scratch || echo "lab: no scratch disk"

mkdir -p /lab/log /lab/bundles
httpd -p 8001 -h /lab/www && echo "lab: ready"

# Process 1 reaps what others leave behind.
while :; do
    sleep 3600 &
    wait $!
done
