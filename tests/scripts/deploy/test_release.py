"""Promises of scripts/packaging/release, the program on the board that keeps releases."""

import json
import os
import random
import signal
import subprocess
import time

from fixture import DeployTest, release_tool

CRASHED, NEVER_READY, NO_BEATS, NOT_BACK, DAMAGED, BUSY, NOTHING_BEFORE = 20, 21, 22, 23, 4, 3, 9

# Programs that change the disk or the service: a power cut is tried at each of their calls.
CHANGING = ("mv", "ln", "rm", "sync", "cat", "mkdir", "tar", "chmod", "systemctl", "find")

WRAPPER = """#!/bin/sh
name=${0##*/}
PATH=${PATH#*:}
# How often it is asked depends on the time.
[ "$name $1" != "systemctl show" ] || exec "$name" "$@"
read -r n <"$CUTS/count"
n=$((n + 1))
echo $n >"$CUTS/count"
if [ "$n" = "$CUT_AT" ]; then
  [ "$CUT_WHEN" = before ] || "$name" "$@"
  kill -9 "-$CUT_GROUP"
fi
exec "$name" "$@"
"""


class Trials(DeployTest):
    def setUp(self) -> None:
        super().setUp()
        self.install()

    def outcome(self) -> release_tool.Outcome:
        self.tool("outcome")
        return release_tool.parse(self.out)

    def test_a_release_that_works_stays(self) -> None:
        made = self.make()
        self.add(made)
        self.assertEqual(self.try_it(made), 0, self.said)
        self.assert_runs(made.identifier)
        self.assertEqual(self.outcome().result, "proven")
        self.reboot()
        self.assert_runs(made.identifier)

    def test_a_release_that_does_not_work_gives_way_to_the_one_before(self) -> None:
        good = self.make()
        self.add(good)
        self.try_it(good)
        for behaviour, code, result in (
            ("crash", CRASHED, "crashed"),
            ("crash-later", CRASHED, "crashed"),
            ("never-ready", NEVER_READY, "never-ready"),
            ("silent", NO_BEATS, "no-beats"),
        ):
            with self.subTest(behaviour):
                bad = self.make(behaviour)
                self.add(bad)
                self.assertEqual(self.try_it(bad, "3"), code, self.said)
                self.assert_runs(good.identifier)
                found = self.outcome()
                self.assertEqual((found.result, found.back, found.token), (result, good.identifier, "t"))

    def test_the_journal_says_how_it_ended_when_systemd_has_started_it_again(self) -> None:
        for line, code, words in (
            ("reflexarc.service: Main process exited, code=exited, status=4/NOPERMISSION", CRASHED, "exit code 4/NOPERMISSION"),
            ("reflexarc.service: Main process exited, code=killed, status=11/SEGV", CRASHED, "signal 11/SEGV"),
            ("reflexarc.service: Watchdog timeout (limit 2s)!", NO_BEATS, "no sign of life"),
            ("reflexarc.service: start operation timed out. Terminating.", NEVER_READY, "did not get ready"),
        ):
            with self.subTest(line):
                (self.state / "journal").write_text(f"Starting reflexarc.service\nits own word\n{line}\n")
                bad = self.make("again")
                self.add(bad)
                self.assertEqual(self.try_it(bad), code, self.said)
                self.assertIn(words, self.outcome().detail)
                self.assertIn("  | its own word", self.outcome().log)
                self.assert_runs("factory")

    def test_that_the_old_one_does_not_come_back_is_said(self) -> None:
        """Say the camera was pulled out meanwhile."""
        bad = self.make("crash")
        self.add(bad)
        factory = self.root / "usr/lib/reflexarc/factory/pipeline.toml"
        factory.write_text(factory.read_text().replace("good", "never-ready"))
        self.assertEqual(self.try_it(bad, "3"), NOT_BACK, self.said)
        self.assertEqual(self.current, "factory")
        self.assertEqual(self.outcome().back, "failed")

    def test_rollback_goes_back_and_forth(self) -> None:
        first, second = self.make(edition="1"), self.make(edition="2")
        self.assertEqual(self.tool("rollback"), NOTHING_BEFORE)
        for made in (first, second):
            self.add(made)
            self.assertEqual(self.try_it(made), 0, self.said)
        times = ("--ready-seconds", "20", "--trial-seconds", "0")
        self.assertEqual(self.tool("rollback", *times), 0, self.said)
        self.assert_runs(first.identifier)
        self.assertEqual(self.tool("rollback", *times), 0, self.said)
        self.assert_runs(second.identifier)

    def test_two_cannot_change_a_board_at_once(self) -> None:
        made = self.make("never-ready")
        self.add(made)
        words = [str(self.root / "usr/lib/reflexarc/release"), "--root", str(self.root), "try", made.identifier]
        with subprocess.Popen([*words, "--ready-seconds", "2"], env=self.environment, stderr=subprocess.DEVNULL) as first:
            while not (self.base / "trial").exists():
                time.sleep(0.01)
            for command in (("try", made.identifier), ("add", made.identifier), ("rollback",), ("prune",)):
                self.assertIn(self.tool(*command), (BUSY, NOTHING_BEFORE), command)
            self.assertEqual(first.wait(), NEVER_READY)
        self.assert_runs("factory")

    def test_a_trial_whose_program_was_killed_is_ended_by_the_next(self) -> None:
        made = self.make("never-ready")
        self.add(made)
        words = [str(self.root / "usr/lib/reflexarc/release"), "--root", str(self.root), "try", made.identifier]
        with subprocess.Popen(words, env=self.environment, stderr=subprocess.DEVNULL, start_new_session=True) as first:
            while self.current == "factory":
                time.sleep(0.01)
            os.killpg(first.pid, signal.SIGKILL)
        self.assertEqual(self.tool("settle"), 0, self.said)
        self.assert_runs("factory")
        self.assertEqual(self.outcome().result, "left")

    def test_boot_leaves_a_trial_of_the_same_boot_alone(self) -> None:
        (self.base / "trial").write_text("release=aaaaaaaaaaaa\nback=x\nboot=boot-1\n")
        self.assertEqual(self.tool("boot"), 0, self.said)
        self.assertTrue((self.base / "trial").exists())


class Disks(DeployTest):
    def setUp(self) -> None:
        super().setUp()
        self.install()

    def test_what_arrives_damaged_is_not_kept(self) -> None:
        made = self.make()
        whole = release_tool._tar(made)
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        for name, bytes_ in (("cut off", whole[: len(whole) // 2]), ("flipped", bytes(flipped)), ("nothing", b"")):
            with self.subTest(name):
                self.assertNotEqual(self.tool("add", made.identifier, input=bytes_), 0)
                self.assertEqual(list((self.base / "releases").iterdir()), [])
                self.assertEqual(list(self.base.glob(".incoming-*")), [])

    def test_a_release_brings_only_what_its_list_names(self) -> None:
        made = self.make()
        (made.folder / "stranger").write_text("x")
        self.assertEqual(self.tool("add", made.identifier, input=release_tool._tar(made)), DAMAGED)

    def test_a_release_under_another_name_is_refused(self) -> None:
        made = self.make()
        self.assertEqual(self.tool("add", "0123456789ab", input=release_tool._tar(made)), DAMAGED)
        self.assertEqual(self.tool("try", "../factory"), 2)

    def test_the_same_release_twice_is_one(self) -> None:
        made = self.make()
        self.add(made)
        before = (self.base / "releases" / made.identifier).stat().st_ino
        self.add(made)
        self.assertEqual((self.base / "releases" / made.identifier).stat().st_ino, before)

    def test_boot_takes_the_release_before_if_the_current_is_damaged(self) -> None:
        first, second = self.make(edition="1"), self.make(edition="2")
        for made in (first, second):
            self.add(made)
            self.try_it(made)
        binary = self.base / "releases" / second.identifier / "reflexarc"
        binary.write_bytes(binary.read_bytes()[:-1] + b"x")
        self.reboot()
        self.assert_runs(first.identifier)
        (self.base / "releases" / first.identifier / "pipeline.toml").unlink()
        self.reboot()
        self.assert_runs("factory")

    def test_boot_makes_a_link_that_is_lost(self) -> None:
        (self.base / "current").unlink()
        self.reboot()
        self.assert_runs("factory")

    def test_prune_keeps_what_may_be_needed(self) -> None:
        made = [self.make(edition=str(number)) for number in range(1, 7)]
        for each in made:
            self.add(each)
            self.assertEqual(self.try_it(each), 0, self.said)
        self.assertEqual(self.tool("prune"), 0, self.said)
        left = {path.name for path in (self.base / "releases").iterdir()}
        self.assertEqual(len(left), 3)
        self.assertLessEqual({made[4].identifier, made[5].identifier}, left)

    def test_a_models_content_is_kept_once_and_for_each_release_that_had_it(self) -> None:
        """New weights under an old name do not take the old ones from the release before."""
        store = self.folder / "models"
        store.mkdir()
        self.addCleanup(os.environ.pop, "REFLEXARC_MODELS", None)
        os.environ["REFLEXARC_MODELS"] = str(store)
        made = []
        for text in ("old", "new"):
            (store / "efficientnet-lite0.safetensors").write_text(text)
            extra = f"# {text}\n"
            config = self.config("good", extra)
            config.write_text(config.read_text().replace('name = "null"', 'name = "efficientnet-lite0"'))
            folder = self.folder / f"release-{text}"
            folder.mkdir()
            from fixture import BOARD, boards, release, stand_in

            each = release.make(stand_in(), config, boards.load(BOARD), folder)
            self.assertEqual(self.tool("models", input=f"{list(each.sums.values())[0]}  x\n".encode()), 0)
            self.assertTrue(self.out)
            self.add(each)
            self.assertEqual(self.try_it(each), 0, self.said)
            made.append(each)
        for each, text in zip(made, ("old", "new"), strict=True):
            link = self.base / "releases" / each.identifier / "models" / "efficientnet-lite0.safetensors"
            self.assertEqual(link.read_text(), text)
        sums = "".join(f"{total}  {name}\n" for name, total in made[0].sums.items())
        self.assertEqual(self.tool("models", input=sums.encode()), 0)
        self.assertEqual(self.out, "")

    def test_status_can_be_read_by_programs(self) -> None:
        made = self.make()
        self.add(made)
        self.try_it(made)
        self.assertEqual(self.tool("status", "--json"), 0, self.said)
        found = json.loads(self.out)
        self.assertEqual((found["current"], found["previous"], found["active"]), (made.identifier, "factory", "active"))
        self.assertEqual(found["releases"], [made.identifier])


class PowerCuts(DeployTest):
    """After a cut at whatever moment, the machine boots to a release that is whole: the old one, until the new is proven."""

    def setUp(self) -> None:
        super().setUp()
        self.install()
        self.old, self.new = self.make(edition="1"), self.make(edition="2")
        self.add(self.old)
        self.factory = os.readlink(self.base / "current")
        self.assertEqual(self.try_it(self.old), 0, self.said)
        self.wrappers = self.folder / "wrappers"
        self.wrappers.mkdir()
        for name in CHANGING:
            (self.wrappers / name).write_text(WRAPPER)
            (self.wrappers / name).chmod(0o755)

    def cut(self, at: int, when: str, *words: str, input: bytes = b"") -> bool:
        """Kills the program and all that it started at its `at`-th change; False if it ended before."""
        (self.folder / "count").write_text("0\n")
        environment = self.environment | {
            "PATH": f"{self.wrappers}:{self.environment['PATH']}",
            "CUTS": str(self.folder),
            "CUT_AT": str(at),
            "CUT_WHEN": when,
        }
        # The shell becomes the program, so the group has the number that the shell knew.
        command = 'CUT_GROUP=$$ exec "$@"'
        tool = [str(self.root / "usr/lib/reflexarc/release"), "--root", str(self.root)]
        done = subprocess.run(
            ["setsid", "--wait", "sh", "-c", "export CUT_GROUP=$$; " + command, "sh", *tool, *words],
            input=input,
            env=environment,
            capture_output=True,
            check=False,
        )
        self.said = done.stderr.decode()
        return done.returncode not in (0, CRASHED)

    def start_over(self) -> None:
        """The old release is current and proven."""
        for name, leads_to in (("current", f"releases/{self.old.identifier}"), ("previous", self.factory)):
            (self.base / name).unlink(missing_ok=True)
            (self.base / name).symlink_to(leads_to)
        (self.base / "trial").unlink(missing_ok=True)

    def all_cuts(self, *words: str, input: bytes = b"") -> list[str]:
        """What is current after a boot, for a cut at each change, before and after it."""
        found = []
        for at in range(1, 500):
            was_cut = False
            for when in ("before", "after"):
                self.start_over()
                was_cut = self.cut(at, when, *words, input=input)
                self.reboot()
                self.assert_runs(self.current)
                found.append(self.current)
            if not was_cut:
                return found
        self.fail("it does not come to its end")

    def test_while_a_release_is_tried(self) -> None:
        self.add(self.new)
        words = ("try", self.new.identifier, "--ready-seconds", "20", "--trial-seconds", "0")
        found = self.all_cuts(*words)
        self.assertGreater(len(found), 20)
        # The old one at first, the new one at last. In between the same number can be another step: how often the service
        # is looked at while it starts is a matter of time.
        self.assertEqual((found[0], found[-1]), (self.old.identifier, self.new.identifier))
        self.assertEqual(set(found), {self.old.identifier, self.new.identifier})

    def test_while_it_goes_back(self) -> None:
        bad = self.make("crash")
        self.add(bad)
        found = self.all_cuts("try", bad.identifier, "--ready-seconds", "20", "--trial-seconds", "0")
        self.assertEqual(set(found), {self.old.identifier})

    def test_while_a_release_is_added(self) -> None:
        data = release_tool._tar(self.new)
        folder = self.base / "releases" / self.new.identifier
        for at in range(1, 500):
            was_cut = False
            for when in ("before", "after"):
                if folder.exists():
                    self.assertEqual(self.tool("verify", self.new.identifier), 0, self.said)
                    subprocess.run(["rm", "-rf", str(folder)], check=True)
                was_cut = self.cut(at, when, "add", self.new.identifier, input=data)
                self.reboot()
                self.assert_runs(self.old.identifier)
                self.assertEqual([path for path in self.base.iterdir() if path.name.startswith(".incoming")], [])
            if not was_cut:
                break
        self.assertGreater(at, 10)
        self.assertEqual(self.tool("verify", self.new.identifier), 0, self.said)

    def test_at_random_moments(self) -> None:
        self.add(self.new)
        dice = random.Random(11)
        tool = [str(self.root / "usr/lib/reflexarc/release"), "--root", str(self.root)]
        words = [*tool, "try", self.new.identifier, "--ready-seconds", "20", "--trial-seconds", "0"]
        for _ in range(20):
            self.start_over()
            with subprocess.Popen(
                words, env=self.environment, stderr=subprocess.DEVNULL, start_new_session=True
            ) as process:
                time.sleep(dice.uniform(0, 0.5))
                os.killpg(process.pid, signal.SIGKILL)
            self.reboot()
            self.assert_runs(self.current)
            self.assertIn(self.current, (self.old.identifier, self.new.identifier))
