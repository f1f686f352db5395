"""/usr/lib/reflexarc/isolate on a machine with GRUB, with its two programs replaced by ones that only note it."""

import os
import subprocess
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

from fixture import REPOSITORY

SCRIPT = REPOSITORY / "scripts/imaging/overlay/grub/usr/lib/reflexarc/isolate"


class IsolateTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "present").write_text("0-3\n")
        (self.folder / "update-grub").write_text("#!/bin/sh\nexit 0\n")
        (self.folder / "update-grub").chmod(0o755)
        text = SCRIPT.read_text().replace("/sys/devices/system/cpu/present", str(self.folder / "present"))
        (self.folder / "isolate").write_text(text.replace("/etc/default", str(self.folder / "default")))

    def isolate(self, cores: str) -> tuple[int, str]:
        environment = os.environ | {"PATH": f"{self.folder}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["sh", str(self.folder / "isolate"), cores], env=environment, capture_output=True, check=False
        )
        path = self.folder / "default/grub.d/reflexarc.cfg"
        return done.returncode, path.read_text() if path.exists() else ""

    def test_interrupts_go_to_the_cores_that_are_left(self) -> None:
        for cores, left in (("2-3", "0,1"), ("3", "0,1,2"), ("1,3", "0,2"), ("1-3", "0")):
            code, text = self.isolate(cores)
            self.assertEqual(code, 0)
            self.assertIn(
                f"isolcpus=managed_irq,domain,{cores} nohz_full={cores} rcu_nocbs={cores} irqaffinity={left}", text
            )

    def test_cores_that_are_not_there_and_core_0_are_refused_and_nothing_is_written(self) -> None:
        for cores in ("4", "2-7", "0", "0-3", "0,2"):
            self.assertEqual(self.isolate(cores), (1, ""), cores)

    def test_none_takes_it_back(self) -> None:
        self.isolate("2-3")
        code, text = self.isolate("none")
        self.assertEqual(code, 0)
        self.assertNotIn("isolcpus", text)


if __name__ == "__main__":
    unittest.main()
