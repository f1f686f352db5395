# shellcheck shell=bash
# What the guests of this folder share: words of the command line, tools, kernel, programs, boot, verdict. Sourced from the
# root of the repository by a script that has set `me` to its own name; the variables named here are for it to use.

say() { printf '%s\n' "$*" >&2; }
refuse() { say "$me: $*"; exit 2; }

# Reads --arch, --tcg, --console and --help, and sets $arch, $host, $only and what QEMU needs for that processor.
guest_options() {
  accelerator=auto console=no only= host=$(uname -m) arch=$(uname -m)
  local argument
  while [ $# -gt 0 ]; do
    argument=$1; shift
    case $argument in
      --arch) [ $# -gt 0 ] || refuse "--arch needs x86_64 or aarch64"; arch=$1; shift ;;
      --tcg) accelerator=tcg ;;
      --console) console=yes ;;
      # The comment at the head of the script.
      -h | --help) sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$me"; exit 0 ;;
      -*) refuse "unknown option $argument; see --help" ;;
      *) only=$argument ;;
    esac
  done
  case $arch in
    x86_64)
      debian=amd64 flavour=rt-amd64 qemu=qemu-system-x86_64 qemu_package=qemu-system-x86
      machine=(-M q35 -cpu max) tty=ttyS0 ;;
    aarch64)
      debian=arm64 flavour=rt-arm64 qemu=qemu-system-aarch64 qemu_package=qemu-system-arm
      machine=(-M virt,gic-version=max -cpu max) tty=ttyAMA0 ;;
    *) refuse "no guest for a processor $arch: x86_64 and aarch64 are known" ;;
  esac
  vm=$PWD/target/vm/$flavour
  mkdir -p "$vm"
  log=
}

# Installs what is missing as root, and names it otherwise. Each argument is a command and its package, `depmod:kmod`; an
# entry may be two packages.
guest_tools() {
  local entry missing=()
  local wanted=("$qemu:$qemu_package" cpio:cpio depmod:kmod xz:xz-utils "$@")
  [ "$arch" != "$host" ] || wanted+=(busybox:busybox-static)
  [ "$arch" = "$host" ] || wanted+=("$arch-linux-gnu-gcc:gcc-${arch//_/-}-linux-gnu libc6-dev-$debian-cross")
  PATH=$PATH:/usr/sbin:/sbin
  for entry in "${wanted[@]}"; do
    command -v "${entry%%:*}" >/dev/null || missing+=("${entry#*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    refuse "missing tools; install them with: sudo apt-get install ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  # shellcheck disable=SC2048,SC2086
  install_tools() { apt-get install -y --no-install-recommends ${missing[*]} >/dev/null 2>&1; }
  install_tools || { apt-get update >/dev/null 2>&1 && install_tools; } || refuse "apt-get could not install ${missing[*]}"
}

# The modules of each kind of guest, before those that they need.
guest_modules() {
  case $1 in
    camera) echo vivid ;;
    # A PC with a USB port: what is written lies on a disk of its own.
    stick) echo xhci-pci usb-storage sd_mod virtio_pci virtio_blk ;;
    flash) echo loop dm-mod dm-flakey ext4 sd_mod usb-storage libcomposite usb_f_mass_storage usb_f_acm dummy_hcd ;;
    # A disk that stays, and somebody to talk to.
    state) echo virtio_pci virtio_blk ext4 virtio_net ;;
    # Real governors, over clocks that only the guest believes in; swap in memory; a camera.
    doctor) echo acpi-cpufreq cpufreq-dt cpufreq_ondemand cpufreq_powersave zram vivid ;;
    # A sound card whose one end hears what is played into the other.
    microphone) echo snd-aloop ;;
  esac
}
guest_kinds="camera stick flash state doctor microphone"

# apt for the guest's processor: its own lists, the host's sources, and nothing of the host is changed.
guest_apt() {
  apt_options=()
  [ "$(id -u)" != 0 ] || apt_options+=(-o APT::Sandbox::User=root)
  [ "$arch" != "$host" ] || return 0
  mkdir -p "$vm/apt"/{lists/partial,cache/archives/partial}
  : >"$vm/apt/status"
  apt_options+=(-o "APT::Architecture=$debian" -o "APT::Architectures=$debian" -o "Dir::State::Lists=$vm/apt/lists"
    -o "Dir::Cache=$vm/apt/cache" -o "Dir::State::status=$vm/apt/status")
}
get() { (cd "$1" && apt-get "${apt_options[@]}" download "$2" >/dev/null 2>&1); }
update() { [ "$arch" != "$host" ] || [ "$(id -u)" = 0 ] || return 1; apt-get "${apt_options[@]}" update >/dev/null 2>&1; }
newest_kernel() { apt-cache "${apt_options[@]}" depends "linux-image-$flavour" 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }'; }

# Keeps of the package what the guests need: the kernel, and for each kind of guest its modules in the order of loading.
fetch_kernel() {
  local package=$1 work version kind module path name
  work=$(mktemp -d "$vm/unpack.XXXXXX")
  say "downloading $package"
  get "$work" "$package" || { rm -rf "$work"; return 1; }
  dpkg-deb -x "$work"/*.deb "$work/root"
  version=$(ls "$work/root/lib/modules")
  depmod -b "$work/root" "$version"
  mkdir "$work/kernel"
  for kind in $guest_kinds; do
    for module in $(guest_modules "$kind"); do
      # A kernel that has not all of them serves the other guests as well.
      modprobe -S "$version" -d "$work/root" --show-depends "$module" 2>/dev/null || true
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r path; do
      name=$(basename "$path"); name=${name%.xz}
      case $path in
        *.xz) xz -dc "$path" >"$work/kernel/$name" ;;
        *) cp "$path" "$work/kernel/$name" ;;
      esac
      echo "$name" >>"$work/kernel/order.$kind"
    done
  done
  cp "$work/root/boot/vmlinuz-$version" "$work/kernel/vmlinuz"
  cp "$work/root/boot/config-$version" "$work/kernel/config"
  echo "$package" >"$work/kernel/package"
  guest_wanted >"$work/kernel/wanted"
  rm -rf "$vm/kernel"
  mv "$work/kernel" "$vm/kernel"
  rm -rf "$work"
}

# What a kernel in the cache has to have: another list of modules is another kernel.
guest_wanted() { local kind; for kind in $guest_kinds; do echo "$kind: $(guest_modules "$kind")"; done; }

# Brings the kernel and busybox; sets $busybox.
guest_kernel() {
  local wanted have work
  guest_apt
  wanted=$(newest_kernel || true)
  if [ -z "$wanted" ] && [ ! -e "$vm/kernel/package" ]; then
    update || true
    wanted=$(newest_kernel || true)
  fi
  have=$(cat "$vm/kernel/package" 2>/dev/null || true)
  [ "$(cat "$vm/kernel/wanted" 2>/dev/null || true)" = "$(guest_wanted)" ] || have=
  if [ -n "$wanted" ] && [ "$wanted" != "$have" ]; then
    # The package index may be older than the archive, or there may be no network: an older kernel serves as well.
    fetch_kernel "$wanted" ||
      { update && fetch_kernel "$(newest_kernel)"; } ||
      say "could not download $wanted"
  fi
  [ -e "$vm/kernel/package" ] ||
    refuse "no kernel: apt knows no linux-image-$flavour (is this Debian?) or there is no network"

  busybox=$(command -v busybox || true)
  [ "$arch" != "$host" ] || return 0
  busybox=$vm/busybox
  [ ! -x "$busybox" ] || return 0
  work=$(mktemp -d "$vm/unpack.XXXXXX")
  get "$work" busybox-static || refuse "could not download busybox-static for $debian"
  dpkg-deb -x "$work"/*.deb "$work/root"
  find "$work/root" -name busybox -type f -exec mv {} "$busybox" \;
  rm -rf "$work"
}

# Builds the program and, where it is named, the test NAME for the guest; sets $binary, $tests and $strip.
guest_build() {
  local build triple
  guest_target
  cargo build --release --quiet "${build[@]}"
  binary=${CARGO_TARGET_DIR:-target}/${triple:+$triple/}release/reflexarc
  [ -z "${1:-}" ] || guest_test "$1"
}

# The same of the test NAME and the program as it is built for tests, where no time is judged.
guest_build_test() {
  local build triple
  guest_target
  guest_test "$1"
  binary=${CARGO_TARGET_DIR:-target}/${triple:+$triple/}debug/reflexarc
}

# Sets $build, $triple and $strip for the guest's processor.
guest_target() {
  say "building"
  local variable
  build=() triple= strip=strip
  if [ "$arch" != "$host" ]; then
    triple=$arch-unknown-linux-gnu strip=$arch-linux-gnu-strip
    rustup target add "$triple" >/dev/null 2>&1 || say "rustup could not add $triple"
    variable=${triple//-/_}; variable=${variable^^}
    export "CARGO_TARGET_${variable}_LINKER=$arch-linux-gnu-gcc"
    build=(--target "$triple")
  fi
}

guest_test() {
  local name=$1
  tests=$(cargo test --test "$name" --no-run "${build[@]}" --message-format=json 2>/dev/null |
    sed -n "s/.*\"executable\":\"\([^\"]*\/$name-[^\"]*\)\".*/\1/p" | tail -1)
  [ -x "$tests" ] || { cargo test --test "$name" --no-run "${build[@]}"; exit 1; }
}

# Begins a root file system in $root for the kind of guest $1, whose first process is $2.
guest_root() {
  root=$(mktemp -d "$vm/root.XXXXXX")
  trap 'rm -rf "$root"' EXIT
  chmod 755 "$root"
  mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,mnt,modules}
  # Where a loader of x86-64 is looked for.
  [ "$arch" = "$host" ] || ln -s lib "$root/lib64"
  cp "$busybox" "$root/bin/busybox"
  case $(file -L "$busybox" 2>/dev/null || true) in *"dynamically linked"*) put "$busybox" busybox ;; esac
  local module
  while read -r module; do cp "$vm/kernel/$module" "$root/modules/"; done <"$vm/kernel/order.$1"
  cp "$vm/kernel/order.$1" "$root/modules/order"
  install -m 755 "$2" "$root/init"
  install -m 644 scripts/vm/init.sh "$root/init.sh"
}

# A program and the libraries that it needs, each at its own path.
put() {
  install -m 755 "$1" "$root/bin/$2"
  put_libraries "$1"
}
put_libraries() {
  local library path
  if [ "$arch" = "$host" ]; then
    ldd "$1" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' |
      while read -r library; do
        [ ! -e "$root$library" ] || continue
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
      done
    return
  fi
  # The loader of another processor cannot be asked: the cross compiler knows where its libraries are.
  for library in $("$arch-linux-gnu-readelf" -dl "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p; s|.*interpreter: .*/\([^/]*\)\].*|\1|p'); do
    [ ! -e "$root/lib/$library" ] || continue
    path=$("$arch-linux-gnu-gcc" -print-file-name="$library")
    mkdir -p "$root/lib"
    cp -L "$path" "$root/lib/$library"
    put_libraries "$path"
  done
}

# Puts Python and the programs of scripts/ into $root; sets $python. The guest has this machine's processor.
guest_scripts() {
  local program library module
  # The distribution's Python before another: it is where it was built to be.
  for python in /usr/bin/python3 python3 none; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
  done
  [ "$python" != none ] || refuse "the programs of scripts/ need Python 3.11 or newer"

  # Python, with its library at its own place; without what is large and not used.
  "$python" -c 'import sys, sysconfig; print(sys.executable); print(sysconfig.get_path("stdlib"))' >"$vm/python"
  { read -r program; read -r library; } <"$vm/python"
  program=$(readlink -f "$program")
  mkdir -p "$root$(dirname "$program")" "$root$library" "$root/usr/bin"
  put "$program" python3
  mv "$root/bin/python3" "$root$program"
  # Not `ln -f`: the distribution's own name may be the program.
  [ -e "$root/usr/bin/python3" ] || ln -s "$program" "$root/usr/bin/python3"
  (cd "$library" && find . \( -name test -o -name tests -o -name idlelib -o -name tkinter -o -name ensurepip -o -name lib2to3 \
    -o -name site-packages -o -name dist-packages -o -name 'config-*' -o -name '*.opt-?.pyc' \) -prune -o \
    -type f -print | cpio --quiet -pdm "$root$library")
  for module in "$root$library"/lib-dynload/*.so; do put_libraries "$module"; done

  mkdir -p "$root/repository"
  cp -r boards scripts "$root/repository/"
  # An emulated processor compiles slowly; the command itself never writes such files.
  "$python" -m compileall -q -s "$root" -p / "$root/repository"
}

# Boots $root: guest_boot PROCESSORS MEGABYTES SECONDS-WITH-KVM SECONDS-WITHOUT KERNEL-ARGUMENTS [OPTIONS OF QEMU].
# The console goes to $log (set before, or target/vm/*/console.log), without carriage returns; init is told `fast` where there is KVM.
guest_boot() {
  local processors=$1 memory=$2 with=$3 without=$4 words=$5
  shift 5
  log=${log:-$vm/console.log} limit=$without
  (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$vm/initrd"
  if kvm_works; then accelerator=kvm limit=$with words="$words fast"; else accelerator=tcg,thread=multi; fi
  say "booting $(cat "$vm/kernel/package") ($accelerator)"
  local began=$SECONDS
  boot "$accelerator" "$limit" "$words" "$@"
  tr -d '\r' <"$log" >"$log.text" && mv "$log.text" "$log"
  say "($((SECONDS - began)) s)"
}
boot() { # ACCELERATOR SECONDS WORDS [OPTIONS]
  local arguments=(
    "${machine[@]}" -accel "$1" -smp "$processors" -m "$memory" -nographic -nodefaults -serial stdio -no-reboot
    -kernel "$vm/kernel/vmlinuz" -initrd "$vm/initrd"
    -append "console=$tty rdinit=/init quiet loglevel=3 panic=-1 $3" "${@:4}"
  )
  if [ "$console" = yes ]; then
    timeout "$2" "$qemu" "${arguments[@]}" </dev/null 2>&1 | tee "$log" >&2 || true
  else
    timeout "$2" "$qemu" "${arguments[@]}" </dev/null >"$log" 2>&1 || true
  fi
}

# /dev/kvm may exist and still not run a kernel (a virtual machine without nested virtualisation), so a guest that
# does not reach its /init within 20 s is taken for that.
kvm_works() {
  [ "$accelerator" = auto ] && [ "$arch" = "$host" ] && [ -w /dev/kvm ] || return 1
  case $arch in x86_64) grep -qwE 'vmx|svm' /proc/cpuinfo || return 1 ;; esac
  boot kvm 20 probe
  grep -q 'guest: ' "$log"
}

# Shows what the guest found, and adds it to $passed and $failed.
passed=0 failed=0
guest_verdict() {
  local good bad
  awk '/guest: / { sub(/.*guest: /, ""); if ($0 != "done") print; next }
    /^(ok|FAIL|skip)  / { print; next }
    /measured: / { sub(/.*measured: /, "      "); print; next }
    # What a test tells stands between its name and its verdict.
    /^test .* \.\.\. *$/ { name = $2; next }
    /^(ok|FAILED)$/ && name { verdict($1, name); name = ""; next }
    /^test .* \.\.\. (ok|FAILED)$/ { verdict($NF, $2) }
    function verdict(word, name) { sub(/^.*::/, "", name); gsub(/_/, " ", name)
      print (word == "ok" ? "ok  " : "FAIL") "  " name }' "$log"
  # libtest's own count is the one to believe: its lines may be torn by what a test writes. `count: ` is that of others.
  read -r good bad < <(awk '/^test result: / { gsub(/;/, ""); good += $4; bad += $6; summaries++ }
    /^count: / { good += $2; bad += $4; summaries++ }
    END { if (!summaries) bad++; print good + 0, bad + 0 }' "$log")
  if ! grep -q 'guest: done' "$log"; then
    echo "FAIL  the guest did not come to its end (limit: $limit s)"
    bad=$((bad + 1))
  fi
  passed=$((passed + good)) failed=$((failed + bad))
  [ "$bad" -gt 0 ] || return 0
  say "---- the end of the guest's console; all of it is in $log"
  tail -n 60 "$log" >&2
}

# The last line and the exit code.
guest_end() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
