"""Runs the checks of scripts/flash that need a kernel of their own, in the guest of `scripts/dev vm flash`.

usage: run.py [PART OF A NAME]. A line for each check, then `count: N passed N failed`.
"""

import sys
import traceback
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import recovery  # noqa: E402
import refusals_on_usb  # noqa: E402
import test_verify  # noqa: E402
import writing_on_usb  # noqa: E402


class Lines(unittest.TestResult):
    """A line for each check, in words."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0
        self.failed = 0

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.passed += 1
        self._line("ok  ", test)

    def addFailure(self, test: unittest.TestCase, err: object) -> None:
        self.failed += 1
        self._line("FAIL", test)
        traceback.print_exception(*err)  # type: ignore[misc]

    addError = addFailure  # type: ignore[assignment]

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: object) -> None:
        if err is not None:
            self.addFailure(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        # Everything that the checks need is in the guest.
        self.failed += 1
        self._line("FAIL", test)
        print(f"skipped: {reason}")

    @staticmethod
    def _line(verdict: str, test: unittest.TestCase) -> None:
        name = getattr(test, "_testMethodName", str(test)).removeprefix("test_").replace("_", " ")
        print(f"{verdict}  {name}", flush=True)


def main(part: str) -> None:
    """Runs the checks whose name has `part` in it."""
    loader = unittest.TestLoader()
    suites = [loader.loadTestsFromModule(module) for module in (recovery, refusals_on_usb, writing_on_usb)]
    # The others of that file are for machines without such disks, and slow here.
    suites.append(
        unittest.TestSuite(test_verify.Lies(name) for name in dir(test_verify.Lies) if "drops_all_writes" in name)
    )
    chosen = unittest.TestSuite()
    for suite in suites:
        for test in flat(suite):
            if part in test.id():
                chosen.addTest(test)
    lines = Lines()
    chosen.run(lines)
    print(f"count: {lines.passed} passed {lines.failed} failed", flush=True)


def flat(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    """The tests of a suite of suites."""
    found: list[unittest.TestCase] = []
    for test in suite:
        found += flat(test) if isinstance(test, unittest.TestSuite) else [test]
    return found


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
