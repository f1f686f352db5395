# What the first processes of the guests share. Sourced by them; busybox's shell.
export PATH=/bin:/usr/sbin:/usr/bin HOME=/tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
exec </dev/console >/dev/console 2>&1
echo "guest: $(uname -r) $(uname -m), $(grep -c ^processor /proc/cpuinfo) processors"

# What the host asked for, on the kernel's command line.
words=$(cat /proc/cmdline)
said() { case " $words " in *" $1 "*) true ;; *) false ;; esac; }
value() { echo "$words" | sed -n "s/.*\b$1=\([^ ]*\).*/\1/p"; }
if said probe; then poweroff -f; fi

# Loads the modules in their order. Arguments are `module parameters`, one word each module.
load() {
  local module argument parameters
  while read -r module; do
    parameters=
    for argument in "$@"; do
      [ "${argument%% *}" != "${module%.ko}" ] || parameters=${argument#* }
    done
    # Without quotes: several parameters.
    insmod "/modules/$module" $parameters || echo "guest: $module does not load"
  done </modules/order
}

end() {
  echo "guest: done"
  poweroff -f
}
