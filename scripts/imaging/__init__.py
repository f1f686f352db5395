"""Making a system that boots on a board and runs reflexarc.

In the order of the work: `options` (what was asked), `board` (what its file says), `host` (what this machine needs),
`rootfs` (Debian with a real-time kernel, by mmdebstrap, and what is laid over it), `disk` (partitions and file systems
in one file), `artefacts` (the compressed image, its block map, checksums and manifest). `grub` and `raspberry` write
what the board's firmware reads. `jetson` prepares NVIDIA's BSP instead, for scripts/flash. `reason` has every reason
to stop. Only the standard library is used.

The same commit, options and package versions give the same image, byte for byte: times come from SOURCE_DATE_EPOCH,
identifiers from names, and whatever a machine must have for itself is made at its first boot.
"""
