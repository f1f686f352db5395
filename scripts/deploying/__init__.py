"""Bringing a release onto a board, from the build to the proof that it runs.

In the order of a deploy: `options` (what was asked), `board` (what its file says), `build` (the binary), `elf` and `gate` (may it
run there), `release` (what is sent), `remote` one folder up (the connection), `host` (which board is this), `release_tool` (the
program on the board that keeps releases), `flow` (the stages), `cli`. `debian` and `package_cli` make the Debian package.
`refusal` has every reason to stop and its exit code; the log is that of `flashing`. Only the standard library is used.
"""
