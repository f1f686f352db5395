"""Turns the log of an inertial unit on a walking person's leg (Xsens, 120 Hz; scikit-kinematics 0.10.4, BSD-3) into CSV.

Usage: imu.py SDIST.tar.gz OUT.csv ROWS
"""

import sys
import tarfile


def main(sdist, out, rows):
    with tarfile.open(sdist) as files:
        name = next(n for n in files.getnames() if n.endswith("walking_xsens_lowerLeg.txt"))
        lines = files.extractfile(name).read().decode("latin-1").splitlines()
    rate = next(float(line.split(":")[1].strip().removesuffix("Hz")) for line in lines if "Sample rate" in line)
    samples = [line.split() for line in lines if line and line[0].isdigit()][: int(rows)]
    first = int(samples[0][0])
    with open(out, "w") as csv:
        csv.write("time,acc_x,acc_y,acc_z,gyr_x,gyr_y,gyr_z\n")
        for sample in samples:
            time = (int(sample[0]) - first) / rate
            csv.write(",".join([f"{time:.9f}", *sample[1:7]]) + "\n")


main(*sys.argv[1:])
