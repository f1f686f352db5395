"""Flashing a board, from the plan to the report.

In the order of a flash: `options` (what was asked), `board` (what its file says), `flow` (the stages), `confirm`.
For cards, sticks and disks: `block_recipe`, which uses `system` and `target` (which disk is this, may it be
written), `image` and `bmap` (what is written), `device` (direct input and output), `writer` (writing, verifying,
naming what went wrong), `journal` and `backup`. For boards on a USB cable: `usb`, `vendor` (running a vendor's
tool), `jetson_recipe` with `jetson_host`, `jetson_module` and `jetson_log`, `rockusb_recipe`.
`refusal` has every reason to stop and its exit code, `events` the log. Only the standard library is used.
"""
