"""Flashing a Jetson with tools that stand for NVIDIA's and say what theirs were seen to say."""

import time
import unittest
from pathlib import Path
from typing import Any

from fixture import Code, FlashTest, Log, Options, Recipe, Tree, boards, flow, script
from flashing import jetson_host, jetson_log, jetson_module
from flashing.jetson_recipe import JetsonRecipe
from flashing.vendor import Line, Transcript

IDENTITY = """
echo '*** Checking ONLINE mode ... OK.'
echo '*** Checking target board connection ... 1 connections found.'
echo '*** Reading ECID ... FUSELEVEL=fuselevel_production hwchipid=0x23 bootauth=NS'
echo '*** Reading EEPROM ... tegraflash.py --device_config tegra234-mb1-bct-device-p3701-0000.dts'
echo 'Board ID(3767) version(300) sku({sku}) revision(A.3)'
echo '{configuration} found.'
"""
SUCCESS = """
echo 'Step 3: Start the flashing process'
echo '[   8.8833 ] Bootloader version 01.00.0000'
echo '[   8.9948 ] Erasing spi: 0 ......... [Done]'
echo '[ {after} ] Writing partition secondary_gpt with gpt_secondary_3_0.bin [ 16896 bytes ]'
echo 'Flashing success'
"""


class Quick(JetsonRecipe):
    """With limits that a test can wait for."""

    flash_limit_s = 20.0
    flash_silence_s = 1.5
    settle_s = 0.0
    return_limit_s = 0.5
    boot_limit_s = 0.5


class Jetson(FlashTest):
    """A ready host, an Orin Nano in recovery, NVIDIA's folder with its tools."""

    def setUp(self) -> None:
        super().setUp()
        self.tree = Tree(self.folder / "machine")
        self.tree.write("etc/os-release", 'ID=ubuntu\nVERSION_ID="22.04"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"\n')
        self.tree.write("proc/filesystems", "nodev\tnfsd\n")
        self.tree.write("sys/module/usbcore/parameters/autosuspend", "-1\n")
        self.tree.usb("1-4", "0955:7523", "NVIDIA Corp.", "APX")
        plain = dict.fromkeys(("dtc", "sshpass", "xmllint", "exportfs", "lz4", "cpio", "modprobe"), "exit 0")
        self.tools(systemctl="echo inactive; exit 3", systemd_detect_virt="echo none; exit 1", **plain)
        self.bsp = self.folder / "Linux_for_Tegra"
        for path, content in (
            ("rootfs/etc/nv_tegra_release", b"# R39 (release), REVISION: 2.0, GCID: 1, BOARD: generic\n"),
            ("kernel/Image", b"Linux version 6.8.12 SMP PREEMPT"),
            ("rootfs/boot/Image", b"Linux version 6.8.12 SMP PREEMPT"),
        ):
            (self.bsp / path).parent.mkdir(parents=True, exist_ok=True)
            (self.bsp / path).write_bytes(content)
        script(self.bsp / "flash.sh", "exit 0")
        self.identity("0005")
        self.tool(SUCCESS.format(after="98.7001"))

    def identity(self, sku: str, configuration: str = "jetson-orin-nano-devkit") -> None:
        script(self.bsp / "nvautoflash.sh", IDENTITY.format(sku=sku, configuration=configuration))

    def tool(self, text: str, becomes: str = "7020") -> None:
        """NVIDIA's tool; when it ends well, the board is seen with another USB id."""
        product = self.tree.root / "sys/bus/usb/devices/1-4/idProduct"
        script(self.bsp / "l4t_initrd_flash.sh", f'echo "$@" > called\n{text}\necho {becomes} > {product}')

    def run_flash(self, *words: str, name: str = "jetson-orin-nano") -> Recipe:
        board = boards.load(name)

        def make(options: Options, log: Log) -> Recipe:
            return Quick(board, options, log, self.tree)

        options = self.options(name, "--bsp", str(self.bsp), "--accept", "space", *words)
        return self.flash(make, options)

    def called(self) -> str:
        return (self.bsp / "called").read_text(encoding="utf-8").strip()

    def test_a_flash_runs_the_command_of_the_board_file_and_waits_for_the_boot(self) -> None:
        recipe = self.run_flash()
        self.assertEqual(self.called(), "jetson-orin-nano-devkit-super internal")
        self.assertEqual(recipe.target, "complete")
        self.assertIn("has booted", recipe.report()[0])
        self.assertEqual(self.event("module")["identity"], "3767-0005")
        self.assertAlmostEqual(self.event("judged")["erase_s"], 98.7001 - 8.8833)

    def test_a_dry_run_calls_no_tool(self) -> None:
        script(self.bsp / "nvautoflash.sh", "touch called-identity; exit 1")
        self.refused(Code.VENDOR_FAILED, self.run_flash)
        self.assertTrue((self.bsp / "called-identity").exists(), "the real run reads it")
        (self.bsp / "called-identity").unlink()
        log = self.log()
        options = self.options("jetson-orin-nano", "--bsp", str(self.bsp), "--accept", "space", "--dry-run")
        flow.run(Quick(boards.load("jetson-orin-nano"), options, log, self.tree), options, log)
        self.assertFalse((self.bsp / "called-identity").exists())
        self.assertFalse((self.bsp / "called").exists())
        self.assertIn(
            "l4t_initrd_flash.sh jetson-orin-nano-devkit-super internal", " ".join(self.event("plan")["steps"])
        )

    def test_r36_gets_its_own_command(self) -> None:
        release = self.bsp / "rootfs/etc/nv_tegra_release"
        release.write_text("# R36 (release), REVISION: 5.0, GCID: 1\n", encoding="utf-8")
        (self.bsp / "tools/kernel_flash").mkdir(parents=True)
        (self.bsp / "l4t_initrd_flash.sh").rename(self.bsp / "tools/kernel_flash/l4t_initrd_flash.sh")
        self.run_flash()
        self.assertIn("--external-device nvme0n1p1", self.called())
        self.assertIn("-p -c bootloader/generic/cfg/flash_t234_qspi.xml --showlogs", self.called())

    def test_a_module_that_disagrees_stops_before_anything_is_written(self) -> None:
        self.identity("0000")
        refusal = self.refused(Code.WRONG_MODULE, self.run_flash)
        self.assertIn("3767-0000", refusal.what)
        self.assertFalse((self.bsp / "called").exists())
        self.assertEqual(self.recipe.target, "unchanged")

    def test_an_empty_identity_is_no_disagreement(self) -> None:
        script(
            self.bsp / "nvautoflash.sh",
            "echo 'Board ID() version() sku() revision()'; echo jetson-orin-nano-devkit found.",
        )
        self.assertEqual(self.run_flash().target, "complete")

    def test_an_erase_that_is_too_fast_is_no_success(self) -> None:
        self.tool(SUCCESS.format(after="10.0021"))
        refusal = self.refused(Code.WRITE_PROTECTED, self.run_flash)
        self.assertIn("1.12 s", refusal.what)
        self.assertEqual(self.recipe.target, "incomplete")

    def test_a_board_that_does_not_answer_is_a_ping_failure(self) -> None:
        self.tool(
            "echo 'Waiting for target to boot-up...'; echo '16:12:15.019 - Error: Timeout'; "
            "echo '16:12:15.022 - Error: Device ping failed after RCM boot.'; exit 1"
        )
        self.assertIn("--check-host", self.refused(Code.PING, self.run_flash).fix)

    def test_a_lost_transfer_is_named(self) -> None:
        self.tool("echo '[   0.1213 ] ERROR: might be timeout in USB write.'; echo 'Error: Return value 3'; exit 1")
        self.refused(Code.USB_TRANSFER, self.run_flash)

    def test_any_other_failure_shows_the_tools_last_words(self) -> None:
        self.tool("echo 'cp: no space left on device'; exit 7")
        refusal = self.refused(Code.VENDOR_FAILED, self.run_flash)
        self.assertIn("no space left", refusal.what)
        self.assertIn("7", refusal.what)

    def test_a_tool_that_falls_silent_is_stopped_with_all_that_it_started(self) -> None:
        marker = self.folder / "child"
        self.tool(f"echo started; (trap '' TERM; sleep 300) & echo $! > {marker}; sleep 300")
        began = time.monotonic()
        refusal = self.refused(Code.VENDOR_TIMEOUT, self.run_flash)
        self.assertIn("said nothing for", refusal.what)
        self.assertIn("started", refusal.what)
        child = int(marker.read_text(encoding="utf-8"))
        self.assertTrue(_is_gone(child), "its child still runs")
        self.assertGreater(time.monotonic() - began, Quick.flash_silence_s)

    def test_a_board_that_does_not_come_back_after_its_identity_is_named(self) -> None:
        gone = self.tree.root / "sys/bus/usb/devices/1-4"
        script(self.bsp / "nvautoflash.sh", f"rm {gone}; echo jetson-orin-nano-devkit found.")
        self.refused(Code.USB_LOST, self.run_flash)

    def test_thor_is_not_waited_for_and_its_user_is_told_to_start_it(self) -> None:
        self.tree.usb("1-4", "0955:7026", "NVIDIA Corp.", "APX")
        script(self.bsp / "nvautoflash.sh", "echo 'boardid=3834;fab=000;boardsku=0008;boardrev=;'")
        self.tool(SUCCESS.format(after="98.7001"), becomes="7026")
        recipe = self.run_flash(name="jetson-thor")
        self.assertIn("does not start by itself", recipe.report()[0])
        self.assertEqual(self.called(), "jetson-agx-thor-devkit internal")

    def test_a_board_that_was_not_seen_to_boot_is_reported_as_such(self) -> None:
        self.tool(SUCCESS.format(after="98.7001"), becomes="7523")
        self.assertIn("not seen to boot", self.run_flash().report()[0])

    def test_of_two_boards_the_named_one_is_flashed(self) -> None:
        self.tree.usb("1-5", "0955:7523", "NVIDIA Corp.", "APX")
        self.refused(Code.SEVERAL_BOARDS, self.run_flash)
        self.run_flash("--usb-instance", "1-4")
        self.assertEqual(self.called(), "--usb-instance 1-4 jetson-orin-nano-devkit-super internal")

    def test_a_folder_that_is_not_nvidias_is_refused(self) -> None:
        (self.bsp / "flash.sh").unlink()
        self.refused(Code.BSP, self.run_flash)

    def test_options_of_other_boards_are_refused(self) -> None:
        self.refused(Code.USAGE, lambda: self.run_flash("--device", "/dev/sdb"))
        self.refused(Code.RECIPE, lambda: self.run_flash("--resume"))


class Host(Jetson):
    """The checks of the host, one by one. Of the tests above none is run again, see `load_tests`."""

    def outcomes(self) -> dict[str, str]:
        return {check.name: check.outcome for check in jetson_host.check(self.tree, self.bsp)} | {"space": "ok"}

    def test_a_ready_host_is_ready(self) -> None:
        self.assertEqual(set(self.outcomes().values()), {"ok"}, jetson_host.check(self.tree, self.bsp))

    def test_each_trouble_is_found_by_its_check(self) -> None:
        def rule(text: str) -> str:
            return f'case "$2" in {text}) echo active;; *) echo inactive;; esac'

        fail: dict[str, tuple[str, Any]] = {
            "ubuntu": ("failed", lambda: self.tree.write("etc/os-release", "ID=debian\nVERSION_ID=13\n")),
            "virtual-machine": ("failed", lambda: self.tools(systemd_detect_virt="echo kvm")),
            "exports": ("failed", lambda: self.tree.write("etc/exports", "/old/Linux_for_Tegra/rootfs *(rw)\n")),
            "autosuspend": ("warning", lambda: self.tree.write("sys/module/usbcore/parameters/autosuspend", "2\n")),
            "network-manager": ("warning", lambda: self.tools(systemctl=rule("NetworkManager"))),
            "udisks2": ("warning", lambda: self.tools(systemctl=rule("udisks2"))),
            "tlp": ("warning", lambda: self.tools(systemctl=rule("tlp"))),
            "prepared": ("failed", lambda: (self.bsp / "rootfs/etc/nv_tegra_release").unlink()),
            "flashing-kernel": ("failed", lambda: (self.bsp / "kernel/Image").write_bytes(b"SMP PREEMPT_RT")),
            "same-kernel": ("warning", lambda: (self.bsp / "rootfs/boot/Image").write_bytes(b"other")),
        }
        for name, (outcome, spoil) in fail.items():
            with self.subTest(check=name):
                self.doCleanups()
                self.setUp()
                spoil()
                self.assertEqual(self.outcomes()[name], outcome)

    def test_network_manager_with_nvidias_rule_is_no_trouble(self) -> None:
        self.tools(systemctl='case "$2" in NetworkManager) echo active;; *) echo inactive;; esac')
        self.tree.write("etc/udev/rules.d/99-l4t-host.rules", "")
        self.assertEqual(self.outcomes()["network-manager"], "ok")

    def test_a_failed_check_stops_the_flash_and_can_be_accepted_by_name(self) -> None:
        self.tools(systemd_detect_virt="echo kvm")
        self.assertIn("virtual-machine", self.refused(Code.HOST, self.run_flash).what)
        self.assertEqual(self.run_flash("--accept", "virtual-machine").target, "complete")

    def test_a_real_time_kernel_for_flashing_cannot_be_accepted(self) -> None:
        (self.bsp / "kernel/Image").write_bytes(b"SMP PREEMPT_RT")
        self.refused(Code.HOST, self.run_flash)
        self.assertNotIn("flashing-kernel", jetson_host.ACCEPTABLE)


class Words(unittest.TestCase):
    """What NVIDIA's tools say, read without running anything."""

    @staticmethod
    def lines(*pairs: tuple[float, str]) -> list[Line]:
        return [Line(at, text) for at, text in pairs]

    def test_the_erase_is_timed_by_arrival_where_there_are_no_stamps(self) -> None:
        told = [(1.0, "Writing QSPI"), (1.1, "Erasing 64 Kibyte @ 0 --  0 % complete")]
        told += [(1.2, "Erasing 64 Kibyte @ 3ff0000 -- 100 % complete"), (1.3, "Writing data to Block 0")]
        self.assertAlmostEqual(jetson_log.erase_time(self.lines(*told)) or 0.0, 0.3)
        self.assertAlmostEqual(
            jetson_log.erase_time(self.lines((5.0, "Step"), (125.0, "Erasing 65536 Kibyte @ 0 -- 100 % complete")))
            or 0,
            120,
        )

    def test_the_erase_of_one_partition_is_not_judged(self) -> None:
        small = self.lines((1.0, "a"), (1.1, "Erasing 64 Kibyte @ 70000 -- 100 % complete"), (1.2, "b"))
        self.assertIsNone(jetson_log.erase_time(small))
        self.assertIsNone(jetson_log.erase_time(self.lines((1.0, "nothing of the kind"))))

    def test_stamps_that_begin_anew_fall_back_to_arrival(self) -> None:
        told = self.lines((1.0, "[ 99.0 ] x"), (2.0, "Erasing spi: 0 ... [Done]"), (70.0, "[ 0.1 ] y"))
        self.assertAlmostEqual(jetson_log.erase_time(told) or 0.0, 69.0)

    def test_a_slow_erase_passes_and_a_board_without_the_fact_is_not_judged(self) -> None:
        told = self.lines((0.0, "x"), (1.0, "Erasing spi: 0 ... [Done]"), (60.0, "y"))
        self.assertEqual(jetson_log.judge(Transcript(["t"], told, 0), 10.0), 60.0)
        fast = self.lines((0.0, "x"), (0.1, "Erasing spi: 0 ... [Done]"), (0.2, "y"))
        jetson_log.judge(Transcript(["t"], fast, 0), 0.0)

    def test_identities_in_the_forms_that_were_seen(self) -> None:
        parse = jetson_module.parse
        self.assertEqual(parse("Board ID(3767) version(300) sku(0005) revision(A)").identity, "3767-0005")
        self.assertEqual(parse("'boardid=3701;fab=000;boardsku=0005;boardrev=;'").identity, "3701-0005")
        self.assertEqual(parse("--device_config tegra234-mb1-bct-device-p3701-0000.dts").identity, "")
        self.assertEqual(
            parse("1 connections found.\njetson-agx-orin-devkit found.").configuration, "jetson-agx-orin-devkit"
        )

    def test_a_variant_of_a_configuration_is_no_disagreement(self) -> None:
        nano = boards.load("jetson-orin-nano")
        jetson_module.refuse_disagreement(jetson_module.Module("", "jetson-orin-nano-devkit"), nano)
        jetson_module.refuse_disagreement(jetson_module.Module("", ""), nano)
        with self.assertRaises(Exception) as caught:
            jetson_module.refuse_disagreement(jetson_module.Module("", "jetson-agx-orin-devkit"), nano)
        self.assertIn("E_WRONG_MODULE", str(caught.exception))


def _is_gone(process: int) -> bool:
    """Ended, or ended and not yet collected by whoever inherited it. A signal takes a moment to do its work."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def load_tests(loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str | None) -> unittest.TestSuite:
    """`Host` inherits the machine from `Jetson`, not its tests."""
    del tests, pattern
    own = [Host(name) for name in vars(Host) if name.startswith("test_")]
    return unittest.TestSuite([*loader.loadTestsFromTestCase(Jetson), *own, *loader.loadTestsFromTestCase(Words)])


if __name__ == "__main__":
    unittest.main()
