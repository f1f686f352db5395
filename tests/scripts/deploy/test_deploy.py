"""Promises of scripts/deploy, from the command line to what runs on the board."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

from fixture import BOARD, REPOSITORY, TOOL, Code, DeployTest, boards, debian, elf, gate, host, stand_in
from deploying.refusal import table


class Deploys(DeployTest):
    def setUp(self) -> None:
        super().setUp()
        self.events = self.folder / "events"

    def bring(self, behaviour: str = "good", edition: str = "1", *words: str) -> int:
        return self.deploy(
            "--binary", str(stand_in(edition)), "--config", str(self.config(behaviour)), "--events", str(self.events), *words
        )

    def story(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.events.read_text().splitlines()]

    def test_a_bare_board_gets_the_package_and_the_release(self) -> None:
        self.assertEqual(self.bring(), 0, self.said)
        self.assertIn("installing reflexarc_", self.said)
        self.assertNotEqual(self.current, "factory")
        self.assert_runs(self.current)
        stages = [event["stage"] for event in self.story() if event["event"] == "enter"]
        self.assertEqual(
            stages, ["build", "gate", "connect", "identify", "setup", "models", "copy", "check", "try", "report"]
        )

    def test_an_older_service_is_brought_up_to_date_and_keeps_what_is_fallen_back_on(self) -> None:
        self.install()
        (self.root / "usr/lib/reflexarc/packaging.sha256").write_text("of an older one\n")
        (self.state / "version").write_text("0.0.1")
        factory = self.root / "usr/lib/reflexarc/factory"
        before = _tree(factory)
        self.assertEqual(self.bring("crash"), Code.CRASHED.exit_code, self.said)
        self.assertIn("in place of 0.0.1", self.said)
        self.assertEqual(_tree(factory), before)
        self.assert_runs("factory")

    def test_the_same_release_again_is_nothing_to_do(self) -> None:
        self.install()
        self.assertEqual(self.bring(), 0, self.said)
        starts, commands = (self.state / "starts").read_text(), self.commands()
        self.assertEqual(self.bring(), 0, self.said)
        self.assertIn("nothing to do", self.said)
        self.assertEqual((self.state / "starts").read_text(), starts)
        new = self.commands().removeprefix(commands)
        for word in ("release add", "release try", "release check", "release blob", "systemctl", "dpkg -i"):
            self.assertNotIn(word, new)

    def test_a_dry_run_changes_nothing(self) -> None:
        self.install()
        before = _tree(self.root)
        self.assertEqual(self.bring("good", "1", "--dry-run"), 0, self.said)
        self.assertEqual(_tree(self.root), before)
        self.assertIn("would take the place of factory", self.said)

    def test_without_a_configuration_the_one_that_runs_there_stays(self) -> None:
        self.install()
        self.assertEqual(self.bring(), 0, self.said)
        kept = (self.base / "current" / "pipeline.toml").read_bytes()
        self.assertEqual(self.deploy("--binary", str(stand_in("2"))), 0, self.said)
        self.assertEqual((self.base / "current" / "pipeline.toml").read_bytes(), kept)

    def test_a_release_that_fails_leaves_the_old_one_running_and_has_a_code_of_its_own(self) -> None:
        self.install()
        self.assertEqual(self.bring(), 0, self.said)
        old = self.current
        for behaviour, code in (
            ("crash", Code.CRASHED),
            ("crash-later", Code.CRASHED),
            ("never-ready", Code.NEVER_READY),
            ("silent", Code.NO_BEATS),
            ("fails-check", Code.CHECK),
        ):
            with self.subTest(behaviour):
                self.assertEqual(self.bring(behaviour, "2", "--ready-seconds", "3"), code.exit_code, self.said)
                for word in (code.title, "why: ", "fix: "):
                    self.assertIn(word, self.said)
                self.assert_runs(old)

    def test_a_release_that_fails_its_check_is_never_started(self) -> None:
        self.install()
        starts = (self.state / "starts").read_text()
        self.assertEqual(self.bring("fails-check"), Code.CHECK.exit_code)
        self.assertIn("the policy made no chunk of actions", self.said)
        self.assertEqual((self.state / "starts").read_text(), starts)
        self.assertEqual(self.bring("fails-check", "1", "--accept", "check"), 0, self.said)

    def test_rollback_and_status(self) -> None:
        self.install()
        self.bring("good", "1")
        first = self.current
        self.bring("good", "2")
        self.assertEqual(self.deploy("--rollback"), 0, self.said)
        self.assert_runs(first)
        self.assertEqual(self.deploy("--status"), 0, self.said)
        self.assertIn(first, self.out)

    def test_a_first_release_has_nothing_before_it(self) -> None:
        self.install()
        self.assertEqual(self.deploy("--rollback"), Code.NOTHING_BEFORE.exit_code, self.said)

    def test_a_configuration_that_cannot_be_read_is_refused_before_anybody_is_asked(self) -> None:
        for name, text in (("none", None), ("broken", "[camera\n")):
            path = self.folder / f"{name}.toml"
            if text is not None:
                path.write_text(text)
            self.assertEqual(self.deploy("--binary", str(stand_in()), "--config", str(path)), Code.CONFIG.exit_code, self.said)
        self.assertEqual(self.commands(), "")

    def test_two_deploys_at_once(self) -> None:
        self.install()
        self.bring()
        old = self.current
        other = self.make("never-ready", "2")
        self.add(other)
        words = [str(self.root / "usr/lib/reflexarc/release"), "--root", str(self.root), "try", other.identifier]
        with subprocess.Popen([*words, "--ready-seconds", "2"], env=self.environment, stderr=subprocess.DEVNULL) as first:
            while not (self.base / "trial").exists():
                time.sleep(0.01)
            self.assertEqual(self.bring("good", "3"), Code.BUSY.exit_code, self.said)
            first.wait()
        self.assert_runs(old)

    def test_who_may_not_become_root_is_told(self) -> None:
        self.install()
        (self.state / "no-sudo").touch()
        self.assertEqual(self.bring(), Code.NOT_PERMITTED.exit_code, self.said)

    def test_each_way_of_not_getting_there_has_its_code(self) -> None:
        for said, code in (
            ("ssh: connect to host robot port 22: Connection refused", Code.NO_CONNECTION),
            ("@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@", Code.HOST_KEY),
            ("root@robot: Permission denied (publickey).", Code.AUTHENTICATION),
        ):
            with self.subTest(code.title):
                (self.state / "ssh").write_text(said + "\n")
                self.assertEqual(self.bring(), code.exit_code, self.said)

    def test_another_board_is_refused_before_anything_is_changed(self) -> None:
        self.install()
        before = _tree(self.root)
        other = "raspberry-pi-5" if os.uname().machine == "aarch64" else "qemu-virt-aarch64"
        found = host.Host("aarch64", "6.12", "2.41", ("raspberrypi,4-model-b",), "Raspberry Pi 4 Model B", frozenset())
        self.assertIn("device tree", host.differs(found, boards.load("raspberry-pi-5")))
        right = host.Host("aarch64", "6.12", "2.41", boards.load("raspberry-pi-5").compatible, "Raspberry Pi 5 Model B", frozenset())
        self.assertEqual(host.differs(right, boards.load("raspberry-pi-5")), "")
        self.assertIn("processor", host.differs(found, boards.load("x86-64")))
        # Through the whole command: a board of this processor that is none of the other name.
        if other == "raspberry-pi-5":
            self.assertEqual(self.deploy_to(other), Code.WRONG_BOARD.exit_code, self.said)
        self.assertEqual(_tree(self.root), before)

    def deploy_to(self, board: str) -> int:
        import fixture

        fixture.BOARD, old = board, fixture.BOARD
        try:
            return self.bring()
        finally:
            fixture.BOARD = old

    def test_what_two_builds_of_the_same_content_are_called_is_the_same(self) -> None:
        self.assertEqual(self.make().identifier, self.make().identifier)
        self.assertNotEqual(self.make(edition="1").identifier, self.make(edition="2").identifier)
        self.assertNotEqual(self.make("good").identifier, self.make("crash").identifier)


class Gate(DeployTest):
    def build(self, version: str) -> Path:
        """A program that asks the C library for a function in a version that is made up."""
        (self.folder / "stub.c").write_text("int far_future(void) { return 0; }\n")
        (self.folder / "map").write_text(f"{version} {{ global: far_future; local: *; }};\n")
        (self.folder / "main.c").write_text("int far_future(void); int main(void) { return far_future(); }\n")
        stub, program = self.folder / "libstub.so", self.folder / "program"
        stand_in()
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", stub, "-Wl,-soname,libc.so.6", f"-Wl,--version-script={self.folder / 'map'}",
             self.folder / "stub.c", "-nostdlib"], check=True)  # fmt: skip
        subprocess.run(
            ["cc", "-o", program, self.folder / "main.c", stub, "-nostdlib", "-Wl,-e,main"], check=True
        )
        return program

    def test_a_newer_glibc_is_refused_before_anything_is_copied(self) -> None:
        self.install()
        code = self.deploy("--binary", str(self.build("GLIBC_2.99")), "--config", str(self.config("good")))
        self.assertEqual(code, Code.GLIBC.exit_code, self.said)
        for word in ("GLIBC_2.99", "far_future (GLIBC_2.99 of libc.so.6)", "--zigbuild"):
            self.assertIn(word, self.said)
        for word in ("release", "cat >"):
            self.assertNotIn(word, self.commands())

    def test_the_newest_glibc_is_found_as_readelf_finds_it(self) -> None:
        for program in (stand_in(), Path("/bin/sh"), Path(os.path.realpath("/usr/bin/env"))):
            said = subprocess.run(
                ["readelf", "--version-info", "--wide", program], capture_output=True, text=True, check=True
            ).stdout
            wanted = {name for name in re.findall(r"Name: (\S+)", said)}
            self.assertEqual(set(elf.read(program).versions), wanted, program)
            needed = subprocess.run(
                ["readelf", "--dynamic", "--wide", program], capture_output=True, text=True, check=True
            ).stdout
            self.assertEqual(elf.read(program).needed, re.findall(r"\(NEEDED\).*\[(.+)\]", needed))

    def test_versions_compare_as_numbers(self) -> None:
        found = elf.Elf("x86_64", versions={"GLIBC_2.9": [], "GLIBC_2.10": [], "GLIBC_PRIVATE": []})
        self.assertEqual(found.newest(), "2.10")
        gate.limit(found, "2.10", "it")

    def test_another_processors_binary_is_refused(self) -> None:
        other = bytearray(stand_in().read_bytes())
        other[18:20] = (243).to_bytes(2, "little")
        (self.folder / "other").write_bytes(other)
        for path in (self.folder / "other", Path(__file__)):
            self.assertEqual(self.deploy("--binary", str(path), "--dry-run"), Code.BINARY.exit_code, self.said)

    def test_a_file_that_is_cut_off_is_no_binary(self) -> None:
        whole = stand_in().read_bytes()
        cut = self.folder / "cut"
        for length in (0, 3, 20, 64, 300, 700, 1000):
            cut.write_bytes(whole[:length])
            with self.assertRaises(elf.NotElf):
                elf.read(cut)

    def test_a_library_that_the_board_lacks_is_named(self) -> None:
        found = elf.Elf("x86_64", needed=["libc.so.6", "libcuda.so.1", "ld-linux-x86-64.so.2"])
        with self.assertRaises(gate.Refusal) as raised:
            gate.libraries(found, {"libc.so.6"})
        self.assertIn("libcuda.so.1", str(raised.exception))
        self.assertNotIn("ld-linux", str(raised.exception))


class Package(DeployTest):
    def test_the_same_commit_makes_the_same_package(self) -> None:
        made = [self.package(self.folder / name).read_bytes() for name in ("one", "two")]
        self.assertEqual(made[0], made[1])

    def package(self, into: Path) -> Path:
        first = self.make()
        return debian.make(boards.load(BOARD), first.folder, into)

    def test_scripts_are_understood_by_the_smallest_shell(self) -> None:
        for name in (*debian.SCRIPTS, "release"):
            subprocess.run(["sh", "-n", debian.SOURCES / name], check=True)

    def test_the_unit_is_one_that_systemd_takes_and_that_exposes_little(self) -> None:
        analyze = ["systemd-analyze", "security", "--offline=true", "--threshold=20"]
        try:
            done = subprocess.run(
                [*analyze, debian.SOURCES / "reflexarc.service"], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            self.skipTest("there is no systemd-analyze")
        if "unrecognized" in done.stderr:
            self.skipTest("this systemd-analyze is too old for --offline")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for unit in ("reflexarc.service", "reflexarc-boot.service"):
            said = subprocess.run(
                ["systemd-analyze", "verify", debian.SOURCES / unit], capture_output=True, text=True, check=False
            ).stderr
            # The programs are not there, and older ones do not know two keys.
            strange = [line for line in said.splitlines() if "is not executable" not in line and "Restart" not in line]
            self.assertEqual(strange, [])

    def test_what_the_documentation_says_is_what_is(self) -> None:
        text = (REPOSITORY / "docs" / "deploying.md").read_text()
        said = re.findall(r"^\| (\d+) \| `(E_\w+)` \| (.+) \|$", text, re.MULTILINE)
        self.assertEqual(said, [(str(code.exit_code), code.title, code.meaning) for code in Code])
        for code in Code:
            self.assertIn(code.title, table())
        self.assertEqual(len({code.exit_code for code in Code}), len(Code))

    def test_each_right_of_the_unit_has_its_reason(self) -> None:
        text = (REPOSITORY / "docs" / "deploying.md").read_text()
        unit = (debian.SOURCES / "reflexarc.service").read_text()
        for key in re.findall(r"^([A-Z]\w+)=", unit.split("[Service]")[1].split("[Install]")[0], re.MULTILINE):
            self.assertIn(f"`{key}", text)

    def test_both_sides_know_the_same_numbers(self) -> None:
        from deploying.release_tool import _CODES

        numbers = {int(n) for n in re.findall(r"\b[A-Z_]+=(\d+)", re.search(r"^OK=.*$", TOOL.read_text(), re.M)[0])}
        self.assertEqual(numbers - {0, 2}, set(_CODES))


def _tree(folder: Path) -> dict[str, object]:
    """Names and contents; not the lock."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.name != "lock"
    }
