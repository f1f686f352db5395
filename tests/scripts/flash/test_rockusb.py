"""Flashing an RK3588 with a program that stands for rkdeveloptool, and a file that stands for its eMMC."""

import unittest
from pathlib import Path

from fixture import MIB, Code, FlashTest, Log, Options, Recipe, Tree, boards
from flashing.image import HEAD, Segment
from flashing.rockusb_recipe import RockusbRecipe, stretches

TOOL = """
echo "$1 $2" >> {folder}/calls
case $1 in
  ld) cat {folder}/mode ;;
  db) [ -f "$2" ] && echo 'Downloading bootloader succeeded.' ;;
  wl) dd if="$3" of={emmc} bs=512 seek=$(($2)) conv=notrunc,sparse 2>/dev/null
      dd if="$3" of={emmc} bs=512 seek=$(($2)) conv=notrunc 2>/dev/null
      {spoil}
      echo 'Write LBA from file (100%)' ;;
  rl) dd if={emmc} of="$4" bs=512 skip=$(($2)) count=$(($3)) 2>/dev/null
      echo 'Read LBA to file (100%)' ;;
  rd) echo 'Reset Device OK.' ;;
esac
"""
MODE = "DevNo=1\tVid=0x2207,Pid=0x350b,LocationID=501\t{}"


class Rockusb(FlashTest):
    def setUp(self) -> None:
        super().setUp()
        self.tree = Tree(self.folder / "machine")
        self.tree.usb("1-4", "2207:350b", "Rockchip", "USB download gadget")
        self.emmc = self.folder / "emmc"
        self.emmc.write_bytes(b"\xee" * (16 * MIB))
        self.loader = self.folder / "rk3588_spl_loader.bin"
        self.loader.write_bytes(b"LDR ")
        self.mode("Maskrom")
        self.spoil(":")

    def mode(self, name: str) -> None:
        (self.folder / "mode").write_text(MODE.format(name) + "\n", encoding="utf-8")

    def spoil(self, command: str) -> None:
        self.tools(rkdeveloptool=TOOL.format(folder=self.folder, emmc=self.emmc, spoil=command))

    def run_flash(self, image: Path, *words: str) -> Recipe:
        board = boards.load("rock-5b")

        def make(options: Options, log: Log) -> Recipe:
            return RockusbRecipe(board, options, log, self.tree)

        return self.flash(make, self.options("rock-5b", "--image", str(image), *words))

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text(encoding="utf-8").splitlines()

    def test_in_maskrom_the_loader_goes_first_and_the_head_last(self) -> None:
        image = self.image(9 * MIB)
        recipe = self.run_flash(image, "--loader", str(self.loader))
        self.assertEqual(self.emmc.read_bytes()[: 9 * MIB], image.read_bytes())
        self.assertEqual(recipe.target, "complete")
        wet = self.calls()[1:]
        self.assertEqual([call.split()[0] for call in wet], ["ld", "db", "wl", "wl", "rl", "wl", "rl", "rd"])
        self.assertEqual([call for call in wet if call.startswith("wl")], ["wl 0x0", "wl 0x800", "wl 0x0"])

    def test_in_loader_mode_no_loader_is_sent(self) -> None:
        self.mode("Loader")
        self.run_flash(self.image(3 * MIB))
        self.assertFalse([call for call in self.calls() if call.startswith("db")])

    def test_maskrom_without_a_loader_is_refused(self) -> None:
        self.assertIn("--loader", self.refused(Code.USAGE, lambda: self.run_flash(self.image(3 * MIB))).what)

    def test_memory_that_holds_something_else_is_found_and_does_not_boot(self) -> None:
        self.mode("Loader")
        self.spoil(f"printf x | dd of={self.emmc} bs=1 seek={2 * MIB + 5} conv=notrunc 2>/dev/null")
        image = self.image(6 * MIB)
        self.refused(Code.VERIFY_CARD, lambda: self.run_flash(image))
        self.assertEqual(self.emmc.read_bytes()[:HEAD], bytes(HEAD))
        self.assertEqual(self.recipe.target, "incomplete")

    def test_a_failure_that_the_tool_only_tells_is_a_failure(self) -> None:
        self.mode("Loader")
        self.spoil("echo 'Write LBA failed!'; exit 0")
        self.assertIn(
            "Write LBA failed", self.refused(Code.VENDOR_FAILED, lambda: self.run_flash(self.image(3 * MIB))).what
        )

    def test_two_boards_are_refused_also_with_a_port_named(self) -> None:
        self.tree.usb("1-5", "2207:350b", "Rockchip", "USB download gadget")
        refuse = lambda: self.run_flash(self.image(3 * MIB), "--usb-instance", "1-4")  # noqa: E731
        self.refused(Code.SEVERAL_BOARDS, refuse)

    def test_a_tool_that_sees_no_board_is_believed(self) -> None:
        (self.folder / "mode").write_text("not found any devices!\n", encoding="utf-8")
        self.refused(Code.NO_BOARD, lambda: self.run_flash(self.image(3 * MIB)))

    def test_stretches_join_what_touches_up_to_a_portion(self) -> None:
        def at(offset: int) -> Segment:
            return Segment(offset * MIB, MIB, "")

        touching = tuple(at(n) for n in range(1, 100))
        found = stretches((*touching, at(500), at(501)))
        self.assertEqual([len(stretch) for stretch in found], [64, 35, 2])


if __name__ == "__main__":
    unittest.main()
