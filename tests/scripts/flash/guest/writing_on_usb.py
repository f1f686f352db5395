"""Writing an emulated USB stick with the real command: whole, interrupted at any moment, and lied to."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from fixture import MIB, REPOSITORY, Code
from flashing.device import buffer
from on_usb import DISK, IMAGE, SERIAL, OnUsb

# How often a write is killed. Each takes four commands, of some seconds on an emulated processor.
KILLS = int(os.environ.get("REFLEXARC_KILLS", "6"))


class Written(OnUsb):
    """The whole way of a person: a dry run, then its token."""

    def test_the_stick_is_the_image_byte_for_byte_and_an_old_table_at_its_end_is_gone(self) -> None:
        with self.medium.open("r+b") as file:
            file.seek(DISK - MIB)
            file.write(b"\xee" * MIB)
        self.stick.insert(self.medium)
        image = self.image()
        token = self.token("--serial", SERIAL)
        self.assertEqual(self.medium.read_bytes()[: 2 * MIB], b"\xee" * 2 * MIB, "a dry run changes nothing")
        done = self.flash("--serial", SERIAL, "--yes", token)
        self.assertEqual(done.returncode, 0, done.stderr)
        content = self.medium.read_bytes()
        self.assertEqual(content[:IMAGE], image.read_bytes())
        self.assertEqual(content[DISK - MIB :], bytes(MIB))
        self.assertEqual([e["event"] for e in self.events() if e["event"].startswith("target_")][-1], "target_complete")

    def test_a_stick_that_is_pulled_out_while_it_is_written_is_said_to_be_incomplete(self) -> None:
        process = self._started(self.token())
        self._wait_for(process, lambda event: event["event"] == "progress" and event["verb"] == "writing")
        self.stick.pull_out()
        _, words = process.communicate()
        self.assertIn(process.returncode, (Code.WRITE_FAILED.exit_code, Code.READ_FAILED.exit_code), words)
        self.assertIn("THE TARGET IS INCOMPLETE", words)
        self.assertEqual(self._head(), bytes(512), "it would boot half-written")

    def _head(self) -> bytes:
        """The first sector of the medium: without it nothing boots."""
        with self.medium.open("rb") as file:
            return file.read(512)

    def _started(self, token: str) -> subprocess.Popen[str]:
        (self.folder / "events").unlink(missing_ok=True)
        return subprocess.Popen(
            self.command("--yes", token),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            cwd=REPOSITORY,
        )

    def _wait_for(self, process: subprocess.Popen[str], is_it: Callable[[dict[str, Any]], bool]) -> None:
        """Until the event log has such an event."""
        while process.poll() is None:
            if (self.folder / "events").exists() and any(map(is_it, self.events())):
                return
            time.sleep(0.005)
        self.fail(f"it ended before that: {process.communicate()[1]}")

    def _window(self) -> float:
        """How long the target was incomplete in the last write, in seconds."""
        times = {event["event"]: event["elapsed_s"] for event in self.events()}
        return float(times["target_complete"] - times["target_incomplete"])

    def test_a_write_that_is_killed_at_any_moment_never_boots_and_resumes_to_the_image(self) -> None:
        image = self.image()
        whole = self.flash("--yes", self.token())
        self.assertEqual(whole.returncode, 0, whole.stderr)
        window = self._window()
        chosen = random.Random(11)
        killed = 0
        # BOUND: some come too late, since no two writes take the same time.
        for _ in range(3 * KILLS):
            if killed == KILLS:
                break
            delay = window * chosen.random()
            process = self._started(self.token())
            self._wait_for(process, lambda event: event["event"] == "target_incomplete")
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            if any(event["event"] == "target_complete" for event in self.events()):
                window = min(window, self._window())
                continue
            if self._head() != bytes(512):
                # Killed before the first write, or after the last: what was there before, or is now, is whole.
                self.assertEqual(self.medium.read_bytes()[: IMAGE], image.read_bytes())
                continue
            killed += 1
            done = self.flash("--resume", "--yes", self.token("--resume"))
            self.assertEqual(done.returncode, 0, f"killed after {delay:.2f} s: {done.stderr}")
            self.assertEqual(self.medium.read_bytes()[: IMAGE], image.read_bytes())
        self.assertEqual(killed, KILLS, "so many were interrupted")
        print(f"measured: {killed} writes killed within {window:.1f} s, none bootable, all resumed", flush=True)


class Lied(OnUsb):
    """A stick whose memory drops all writes: device mapper's flakey target is its medium."""

    def setUp(self) -> None:
        super().setUp()
        loop = subprocess.run(
            ["losetup", "--find", "--show", str(self.medium)], check=True, capture_output=True, text=True
        ).stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", loop], check=True)
        flakey = self.enterContext(self.mapped("liar", f"0 {DISK // 512} flakey {loop} 0 0 1 1 drop_writes"))
        self.stick.insert(flakey)
        # Cleanups run last first: the medium has to be out of the stick before it goes.
        self.addCleanup(self.stick.pull_out)
        self.addCleanup((self.stick.unit / "file").write_text, "\n")
        self.addCleanup(self.stick.pull_out)

    def test_a_stick_that_drops_what_is_written_is_caught_by_reading_it_back(self) -> None:
        token = self.token()
        done = self._flash_forgetting("--yes", token)
        self.assertEqual(done.returncode, Code.VERIFY_CARD.exit_code, done.stderr)
        self.assertIn("THE TARGET IS INCOMPLETE", done.stderr)

    def test_reading_such_a_stick_through_the_page_cache_would_find_all_well(self) -> None:
        data = self.image(MIB).read_bytes()
        naive = os.open(self.disk, os.O_RDWR)
        self.addCleanup(os.close, naive)
        os.pwrite(naive, data, 4 * MIB)
        os.fsync(naive)
        self._forget()
        self.assertEqual(os.pread(naive, MIB, 4 * MIB), data, "the naive check is content")
        direct = os.open(self.disk, os.O_RDONLY | os.O_DIRECT)
        self.addCleanup(os.close, direct)
        view = buffer(MIB)
        os.preadv(direct, [view], 4 * MIB)
        self.assertNotEqual(bytes(view), data, "the stick has not got it")

    def _forget(self) -> None:
        """Empties the memory of the stick itself, which the gadget keeps in this kernel's page cache.

        A worn-out stick has no such memory. The host's own pages of the stick have to stay, or the naive check would
        be found out as well: they are dirty until they are written, so only this file's are given up.
        """
        medium = os.open("/dev/mapper/liar", os.O_RDONLY)
        os.posix_fadvise(medium, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(medium)

    def _flash_forgetting(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs the command while the stick's memory is emptied time and again."""
        stop = threading.Event()

        def forget() -> None:
            while not stop.wait(0.02):
                self._forget()

        thread = threading.Thread(target=forget)
        thread.start()
        try:
            return self.flash(*words)
        finally:
            stop.set()
            thread.join()
