"""Made-up streams as robots have them, in the order of arrival: disorder, duplicates, gaps and jumps.

Values are whole numbers of 1/1024, so that sums are exact in any order and every difference counts.
"""


def elements(random, count, keys=1, disorder=0, jumps=True, strays=True):
    """A list of [milliseconds, key, value, number].

    disorder   how far elements come out of order, in ms
    strays     a few come far later than that, by less than a second for a disorder of up to 80
    jumps      now and then time jumps ahead by seconds
    """
    now = random.choice([0, random.randint(-3000, 3000), 1_700_000_000_000])
    step = random.choice([1, 3, 10, 33])
    made = []
    for number in range(count):
        dice = random.random()
        if jumps and dice < 0.01:
            now += random.randint(1000, 20000)
        elif dice < 0.05:
            now += random.randint(5 * step, 20 * step)
        elif dice > 0.15:
            now += random.randint(0, 2 * step)
        back = random.randint(0, disorder)
        if strays and random.random() < 0.06:
            back += random.randint(0, 5 * disorder + 300)
        value = random.randint(-2048, 2048) / 1024
        made.append([now - back, random.randrange(keys), value, number])
        if random.random() < 0.04:
            # The same again: a sender that repeats itself, or two sensors in step.
            again = random.choice(made[-5:])
            if now - again[0] < 1000:
                made[-1][:3] = again[:3]
    return made


def window(random):
    """Size, slide and offset in ms."""
    size = random.choice([1, 7, 20, 25, 50, 50, 100, 100, 250, 1000])
    slide = random.choice([size, size, max(1, size // 2), max(1, size // 2), max(1, size // 4), max(1, size // 5),
                           random.randint(1, size), random.randint(max(1, size // 10), size)])
    return size, slide, random.choice([0, 0, random.randrange(slide)])


def ms(number):
    return f"{number} ms"


def statistics(rows):
    """Count, sum, least, greatest, and numbers of first and last of a window's elements."""
    ends = sorted(rows, key=lambda row: (row[0], row[3]))
    values = [row[2] for row in rows]
    return [len(rows), sum(values), min(values), max(values), ends[0][3], ends[-1][3]]


COLUMNS = ["count", "sum", "min", "max", "first", "last"]
