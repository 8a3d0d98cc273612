"""The script of ``sh`` that asks a device for its facts: one line each, key, tab, value."""

from __future__ import annotations

FACTS = r"""
say() { [ -n "$2" ] && printf '%s\t%s\n' "$1" "$2"; }
first() { [ -r "$1" ] && tr -d '\000' < "$1" | head -n 1; }
say system "$(uname -s)"
say kernel "$(uname -r)"
say architecture "$(uname -m)"
say logical_cpus "$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null)"
if command -v getprop >/dev/null 2>&1; then
  say maker "$(getprop ro.product.manufacturer)"
  say product "$(getprop ro.product.model)"
  say soc_maker "$(getprop ro.soc.manufacturer)"
  say soc "$(getprop ro.soc.model)"
  say board "$(getprop ro.board.platform)"
  say release "Android $(getprop ro.build.version.release)"
else
  [ -r /etc/os-release ] &&
    say release "$(sed -n 's/^PRETTY_NAME=//p' /etc/os-release | tr -d '"')"
  say product "$(first /proc/device-tree/model)"
  say product "$(first /sys/devices/virtual/dmi/id/product_name)"
fi
if [ "$(uname -s)" = Darwin ]; then
  say release "macOS $(sw_vers -productVersion)"
  say product "$(sysctl -n hw.model)"
  say processor "$(sysctl -n machdep.cpu.brand_string)"
  say physical_cpus "$(sysctl -n hw.physicalcpu)"
  say memory_bytes "$(sysctl -n hw.memsize)"
fi
if [ -r /proc/cpuinfo ]; then
  say processor "$(sed -n -e 's/^model name[^:]*: *//p' -e 's/^Hardware[^:]*: *//p' /proc/cpuinfo |
    head -n 1)"
  say features "$(sed -n -e 's/^flags[^:]*: *//p' -e 's/^Features[^:]*: *//p' /proc/cpuinfo |
    head -n 1)"
  say memory_kilobytes "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
fi
for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
  say "cpu:${cpu##*/cpu}:cpuinfo_max_freq" "$(first $cpu/cpufreq/cpuinfo_max_freq)"
done
exit 0
"""
"""What stays as it is."""

READING = r"""
say() { [ -n "$2" ] && printf '%s\t%s\n' "$1" "$2"; }
first() { [ -r "$1" ] && head -n 1 "$1" 2>/dev/null; }
for zone in /sys/class/thermal/thermal_zone*; do
  say "zone:$(first $zone/type)" "$(first $zone/temp)"
done
for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
  for key in scaling_governor scaling_cur_freq scaling_max_freq; do
    say "cpu:${cpu##*/cpu}:$key" "$(first $cpu/cpufreq/$key)"
  done
done
[ -r /proc/meminfo ] &&
  say available_kilobytes "$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo)"
say load "$(first /proc/loadavg)"
if command -v dumpsys >/dev/null 2>&1; then
  tab=$(printf '\t')
  dumpsys battery 2>/dev/null |
    sed -n -E "s/^ *(level|temperature|AC powered|USB powered): */battery:\1$tab/p"
  dumpsys thermalservice 2>/dev/null | sed -n \
    -e "s/^Thermal Status: */thermal_status$tab/p" \
    -e "s/.*Temperature{mValue=\([-0-9.]*\), .*mName=\([^,]*\),.*/zone:\2$tab\1/p"
fi
exit 0
"""
"""What changes while the device works. Android's shell may not read all sensors of the kernel, and
then asks the service. Toybox has no extensions of GNU's sed."""
