"""The numerical contract (docs/numerics.md) for small inputs, written from that page: the choice of the first centroids, and a
Lloyd's iteration from given ones in which every sum is an integer and every quotient a fraction.

It shares nothing with the library, nor with tests/reference: there numbers are words of a fixed point, here they are Python's.
At most 32 columns, where the additions of dist() have one product each and need no fma.
"""
import fractions
import itertools
import math

import numpy as np

Fraction = fractions.Fraction


# ---- floating point --------------------------------------------------------------------------------------------------


def units(value, last):
    """The real number `value`, a double, divided by 2^last and rounded to an integer, ties to even."""
    top, bottom = float(value).as_integer_ratio()
    if last > 0:
        bottom <<= last
    else:
        top <<= -last
    whole, rest = divmod(top, bottom)
    if 2 * rest > bottom or (2 * rest == bottom and whole % 2 == 1):
        whole += 1
    return whole


def exponent(value):
    """The smallest e with |value| < 2^e, 0 for 0."""
    return math.frexp(value)[1]


def lowest_bit(value):
    """The largest e such that value, not 0, is a multiple of 2^e."""
    top, bottom = float(value).as_integer_ratio()
    return (top & -top).bit_length() - bottom.bit_length()


def round_to(value, digits, lowest):
    """A fraction rounded once to a binary number of so many bits, a multiple of 2^lowest; to nearest, ties to even."""
    if value == 0:
        return Fraction(0)
    size = abs(value)
    top = size.numerator.bit_length() - size.denominator.bit_length()  # 2^(top - 1) < size < 2^(top + 1)
    if Fraction(2) ** top > size:
        top -= 1
    unit = Fraction(2) ** max(top - digits + 1, lowest)
    return round(value / unit) * unit  # round() of a fraction: ties to even


def float32(value):
    """RN32 as a Python float, with infinity beyond its range; zero is +0."""
    rounded = round_to(value, 24, -149)
    if abs(rounded) >= Fraction(2) ** 128:
        return math.copysign(math.inf, rounded)
    return float(rounded) if rounded != 0 else 0.0


# ---- section 8: the permutation --------------------------------------------------------------------------------------


def philox(counter, key):
    """Philox4x32-10 (Salmon et al. 2011)."""
    a, b, c, d = counter
    k, l = key
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (second >> 32) ^ b ^ k, second & 0xFFFFFFFF, (first >> 32) ^ d ^ l, first & 0xFFFFFFFF
        k, l = (k + 0x9E3779B9) & 0xFFFFFFFF, (l + 0xBB67AE85) & 0xFFFFFFFF
    return a, b, c, d


def random64(seed, what, index, number):
    """u(what, index, number) of the contract."""
    low, high = philox((what, index & 0xFFFFFFFF, index >> 32, number), (seed & 0xFFFFFFFF, seed >> 32))[:2]
    return high << 32 | low


def permutation(n, seed):
    """pi(0), pi(1), ..., of [0, n)."""
    h = 1
    while 4 ** h < n:
        h += 1
    masks = {}

    def step(left, right, number):
        if (right, number) not in masks:
            masks[right, number] = random64(seed, 1, right, number) % 2 ** h
        return right, left ^ masks[right, number]

    for i in range(n):
        while True:
            left, right = divmod(i, 2 ** h)
            for number in range(8):
                left, right = step(left, right, number)
            i = left * 2 ** h + right
            if i < n:
                break
        yield i


def sample(n):
    """The first 4096 rows of the permutation with key 0."""
    return list(itertools.islice(permutation(n, 0), 4096))


# ---- section 3 -------------------------------------------------------------------------------------------------------


class Column:
    """The numbers of a column in digits: `integers` are X, worth 2^last each."""

    def __init__(self, values, rows):
        values = [float(value) for value in values]
        present = [value for value in values if value != 0]
        self.b = min(30, 62 - (len(values) - 1).bit_length())
        largest = max(map(exponent, present), default=0)
        lowest = min(map(lowest_bit, present), default=largest)
        self.bits = largest - lowest
        kept = self.bits
        if kept > 2 * self.b:
            ordinary = sorted(abs(values[row]) for row in rows if values[row] != 0)
            m = exponent(ordinary[3 if len(ordinary) > 3 else 0]) if ordinary else lowest + 24
            kept = min(self.bits, max(2 * self.b, largest - m + 24))
        self.digits = max(1, -(-kept // self.b))
        self.last = largest - self.b * self.digits
        self.is_cut = self.b * self.digits < self.bits
        self.integers = [units(value, self.last) for value in values]


# ---- sections 1 and 2 ------------------------------------------------------------------------------------------------


def distances(x, c):
    """dist() of every row of x to every row of c, [rows, centroids]."""
    assert x.shape[1] <= 32
    t = x.astype(np.float64)[:, None, :] - c.astype(np.float64)[None, :, :]
    lanes = 1 << (x.shape[1] - 1).bit_length()  # of 32; those after them are zeros
    p = np.zeros(t.shape[:2] + (lanes,))
    p[:, :, :x.shape[1]] = t * t
    while p.shape[2] > 1:
        half = p.shape[2] // 2
        p = p[:, :, :half] + p[:, :, half:]
    return p[:, :, 0]


def normalised(rows):
    """Rows of float32, scaled to length 1."""
    origin = np.zeros((1, rows.shape[1]), np.float32)
    return (rows.astype(np.float64) / np.sqrt(distances(rows, origin))).astype(np.float32)


# ---- sections 4, 5, 7 and 9 ------------------------------------------------------------------------------------------


class Fit:
    """What lloyd must return for the rows x (float32) and the centroids `first`.

    labels, counts, centroids, moved, iterations, converged; `final` is the exact rounded inertia, `history` holds for every iteration
    the true sum of w |x - c|^2, a fraction. `means` are the true means behind the last update: {(k, j): fraction}, of
    members and weights as they are and not as they are cut."""

    def __init__(self, x, first, iterations, weights=None, cosine=False, relocate=True, tol=0.0):
        self.x = normalised(x) if cosine else x
        self.weights, self.cosine, self.relocate = weights, cosine, relocate
        self.w = np.ones(len(x)) if weights is None else weights.astype(np.float64)
        self.centroids = normalised(first) if cosine else first.copy()
        rows = sample(len(x))
        self.columns = [Column(self.w * self.x[:, j].astype(np.float64), rows) for j in range(x.shape[1])]
        self.weight_column = None if weights is None else Column(weights, rows)
        self.mass = [1] * len(x) if weights is None else self.weight_column.integers
        self.unit = Fraction(2) ** (0 if weights is None else self.weight_column.last)
        self.whole = [[units(value, -149) for value in row] for row in self.x]
        self.whole_weights = [units(value, -149) for value in self.w]
        self.history, self.moved, self.converged, self.means = [], [], 0, {}
        self.iterate(iterations, tol)
        self.counts = np.bincount(self.labels, minlength=len(first))
        self.final = math.fsum(self.w * self.own)

    def iterate(self, iterations, tol):
        before = np.full(len(self.x), -1)
        for t in range(iterations):
            self.assign()
            self.history.append(self.inertia())
            self.moved.append(int(np.count_nonzero(self.labels != before)))
            before = self.labels
            slow = t > 0 and tol > 0 and self.history[t - 1] - self.history[t] < Fraction(tol) * self.history[t - 1]
            if self.moved[t] == 0 or slow:
                self.converged = 1
                return
            self.update()
        self.assign()

    def assign(self):
        table = distances(self.x, self.centroids)
        self.labels = np.argmin(table, axis=1)  # the first of equals
        self.own = table[np.arange(len(self.x)), self.labels]

    def inertia(self):
        """The true sum of w |x - c|^2: squares of multiples of 2^-149, times multiples of 2^-149."""
        whole = [[units(value, -149) for value in centroid] for centroid in self.centroids]
        total = 0
        for row, weight, k in zip(self.whole, self.whole_weights, self.labels):
            total += weight * sum((a - b) ** 2 for a, b in zip(row, whole[k]))
        return total * Fraction(2) ** -447

    def update(self):
        members = {k: [] for k in range(len(self.centroids))}
        for i, k in enumerate(self.labels):
            members[k].append(i)
        empty = [k for k in members if sum(self.mass[i] for i in members[k]) == 0]
        if self.relocate:
            farthest = sorted((i for i in range(len(self.x)) if self.mass[i] > 0), key=lambda i: (-self.own[i], i))
            for k, i in zip(empty, farthest):
                members[self.labels[i]].remove(i)
                members[k] = [i]
        self.means = {}
        for k, rows in members.items():
            self.move(k, rows)

    def move(self, k, rows):
        mass = sum(self.mass[i] for i in rows) * self.unit
        if mass == 0:
            return
        mean = []
        true_mass = sum(Fraction(self.w[i]) for i in rows)
        for j, column in enumerate(self.columns):
            mean.append(float32(sum(column.integers[i] for i in rows) * Fraction(2) ** column.last / mass))
            self.means[k, j] = sum(Fraction(self.w[i]) * Fraction(float(self.x[i, j])) for i in rows) / true_mass
        if not all(map(math.isfinite, mean)) or (self.cosine and not any(mean)):
            for j in range(len(self.columns)):
                del self.means[k, j]
            return
        row = np.array([mean], np.float32)
        self.centroids[k] = normalised(row)[0] if self.cosine else row[0]

    def is_exact(self, j):
        """Neither the column nor the weights are cut: centroids are the true means, rounded once."""
        return not self.columns[j].is_cut and not (self.weight_column and self.weight_column.is_cut)


# ---- section 8: the first centroids ----------------------------------------------------------------------------------


def on_grid(mass, top, bits):
    return np.floor(mass * 2.0 ** (bits - top)).astype(np.int64)


def draw(grid, u):
    """The first row at which the running sum exceeds floor(u G / 2^64)."""
    return int(np.searchsorted(np.cumsum(grid), u * int(grid.sum()) >> 64, side="right"))


def logarithm(n):
    """The least power of two that is n or more."""
    return (n - 1).bit_length()


def greedy(table, w, wanted, trials, bits, u):
    """Greedy kmeans++: the rows that are chosen and by how much each lowers the total. table(i): distances of all rows to row i;
    u(i, t): the random numbers."""
    near, rows, gains = None, [], []
    while len(rows) < wanted:
        mass = w.astype(np.float64) if near is None else w * near
        top = exponent(mass.max())
        grid = on_grid(mass, top, bits)
        if grid.sum() == 0:
            break
        best = None
        for t in range(trials if rows else 1):
            row = draw(grid, u(len(rows), t))
            nearer = table(row) if near is None else np.minimum(near, table(row))
            gain = int(grid.sum()) - int(on_grid(w * nearer, top, bits).sum()) if rows else 0
            if best is None or gain > best[0]:
                best = gain, row, nearer
        near = best[2]
        gains.append(best[0] * 2.0 ** (top - bits) if rows else math.inf)
        rows.append(best[1])
    return rows, gains


def fill_up(rows, k, n, seed):
    """`rows`, and those of the permutation that are not among them, up to k."""
    taken = set(rows)
    return rows + list(itertools.islice((row for row in permutation(n, seed) if row not in taken), k - len(rows)))


def kmeans_plus_plus(x, k, seed, w, trials=None):
    """Rows of x."""
    rows, _ = greedy(lambda i: distances(x, x[i:i + 1])[:, 0], w, k, trials or 2 + math.floor(math.log(k)),
                     min(53, 62 - logarithm(len(x))), lambda i, t: random64(seed, 3, i, t))
    return fill_up(rows, k, len(x), seed)


def candidates(x, k, seed, w):
    """The candidates of kmeans-parallel, and of every row the nearest of them."""
    n, expected = len(x), max(500, k, min(2 * k, 2**18), min(4 * k, 8192))
    most, bits = int(expected + 8 * math.sqrt(expected)) + 64, min(53, 62 - logarithm(n))
    rows = [draw(on_grid(w.astype(np.float64), exponent(w.max()), bits), random64(seed, 3, 0, 0))]
    near = distances(x, x[rows])[:, 0]
    nearest = np.zeros(n, np.int64)
    for number in range(3):
        grid = on_grid(w * near, exponent((w * near).max()), bits)
        total = int(grid.sum())
        if total == 0:
            break
        taken = [i for i in range(n) if random64(seed, 4, i, number) * total >> 64 < expected * int(grid[i])][:most]
        for at, row in enumerate(taken):
            far = distances(x, x[row:row + 1])[:, 0]
            nearer = far < near
            near[nearer] = far[nearer]
            nearest[nearer] = len(rows) + at
        rows += taken
    return rows, nearest


def leaves(points):
    """The leaves that the candidates are cut into, lists of their numbers."""
    parts = [list(range(len(points)))]
    while -(-len(points) // len(parts)) > 32768:
        halves = []
        for part in parts:
            own = points[part]
            a = int(np.argmax(distances(own, own[:1])[:, 0]))
            b = int(np.argmax(distances(own, own[a:a + 1])[:, 0]))
            side = distances(own, own[a:a + 1])[:, 0] - distances(own, own[b:b + 1])[:, 0]
            order = np.argsort(side, kind="stable")[:len(part) // 2]
            low = {part[i] for i in order}
            halves += [[i for i in part if i in low], [i for i in part if i not in low]]
        parts = halves
    return parts


def kmeans_parallel(x, k, seed, w, weight_column=None, trials=32, start=None):
    """Rows of x. weight_column: the Column of w, where the rows have weights. start: the seed of a restart."""
    start = seed if start is None else start
    rows, nearest = candidates(x, k, seed, w)
    if len(rows) <= k:
        return fill_up(rows, k, len(x), seed)
    mass = np.ones(len(x))
    if weight_column:
        scale = 2.0 ** (weight_column.b - max(exponent(float(weight)) for weight in w))
        mass = np.rint(w.astype(np.float64) * scale)
    weight = np.bincount(nearest, mass, len(rows))
    parts, chosen = leaves(x[rows]), []
    for number, part in enumerate(parts):
        points = x[[rows[i] for i in part]]
        wanted = k if len(parts) == 1 else min(len(part), -(-2 * k * len(part) // len(rows)))
        own, gains = greedy(lambda i: distances(points, points[i:i + 1])[:, 0], weight[part], wanted, trials,
                            53 - logarithm(len(part)), lambda i, t: random64(start, 5, (number << 16) + i, t))
        gains = np.minimum.accumulate(gains) if gains else gains
        chosen += [(-gain, number, at, rows[part[row]]) for at, (row, gain) in enumerate(zip(own, gains))]
    return fill_up([row for _, _, _, row in sorted(chosen)[:k]], k, len(x), seed)
