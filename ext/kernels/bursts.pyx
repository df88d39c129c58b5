# ext/kernels/bursts.pyx — bursts of a train of times, and bursts of many trains that belong to one wave.
#
# Times are int64 and ascend within a train. A burst is a half-open slice of its train.
from libc.math cimport INFINITY, lgamma, log
from libc.stdint cimport int32_t, int64_t, uint8_t

cdef int FURTHER = 10  # spikes by which a burst may grow without becoming more surprising, until it ends


def by_intervals(
    const int64_t[::1] times, int64_t at_start, int64_t inside, int64_t between, int64_t shortest, int64_t min_spikes,
    int64_t[:, ::1] out,
) -> int:
    """Write the bursts of the maximum-interval method, as many as it returns; out (n // 2 + 1, 2).

    A burst begins with an interval of `at_start` at most and goes on while intervals are `inside` at most; bursts that
    are less than `between` apart are one; those shorter than `shortest` or of fewer spikes than `min_spikes` are none.
    """
    cdef Py_ssize_t n = times.shape[0], k = 0, first, runs = 0, kept = 0
    with nogil:
        while k + 1 < n:
            if times[k + 1] - times[k] > at_start:
                k += 1
                continue
            first = k
            k += 1
            while k + 1 < n and times[k + 1] - times[k] <= inside:
                k += 1
            if runs and times[first] - times[out[runs - 1, 1] - 1] < between:
                out[runs - 1, 1] = k + 1
            else:
                out[runs, 0] = first
                out[runs, 1] = k + 1
                runs += 1
        for k in range(runs):
            if out[k, 1] - out[k, 0] >= min_spikes and times[out[k, 1] - 1] - times[out[k, 0]] >= shortest:
                out[kept, 0] = out[k, 0]
                out[kept, 1] = out[k, 1]
                kept += 1
    return kept


cdef double surprise_of(double expected, double count) noexcept nogil:
    """-ln P(X >= count), X of a Poisson distribution: e^-m m^n / n! (1 + m / (n + 1) + m² / ((n + 1) (n + 2)) + …)."""
    cdef double term = 1, total = 1, k = count
    if count <= 0:
        return 0
    if expected <= 0:
        return INFINITY
    while term > 1e-17 * total:
        k += 1
        term *= expected / k
        total += term
    term = expected + lgamma(count + 1) - count * log(expected) - log(total)
    return term if term > 0 else 0


def surprises(
    const int64_t[::1] times, const int64_t[:, ::1] bursts, double rate, int64_t given, double[::1] out
) -> None:
    """Write the Poisson surprise of each burst (n, 2), `given` times of it not counted; rate: spikes per unit of time.
    """
    cdef Py_ssize_t k
    with nogil:
        for k in range(bursts.shape[0]):
            out[k] = surprise_of(
                rate * <double>(times[bursts[k, 1] - 1] - times[bursts[k, 0]]),
                <double>(bursts[k, 1] - bursts[k, 0] - given),
            )


def by_surprise(
    const int64_t[::1] times,
    double rate,
    double threshold,
    int64_t min_spikes,
    int64_t[:, ::1] out,
    double[::1] surprise,
) -> int:
    """Write the bursts of the Poisson-surprise method and their surprises, as many as it returns; out (n // 3 + 1, 2).

    Seed: three times whose two intervals are half the mean interval at most. It grows by the times that follow it,
    while intervals are twice the mean at most and ten further times have not made it more surprising, to its most
    surprising end; then it loses times at its beginning, in the same way.
    """
    cdef Py_ssize_t n = times.shape[0], k = 0, first, last, best, bursts = 0
    cdef double mean = 1 / rate, value, most
    with nogil:
        while k + 2 < n:
            if <double>(times[k + 1] - times[k]) > mean / 2 or <double>(times[k + 2] - times[k + 1]) > mean / 2:
                k += 1
                continue
            first, last, best = k, k + 2, k + 2
            most = surprise_of(rate * <double>(times[last] - times[first]), 3)
            while last + 1 < n and last < best + FURTHER and <double>(times[last + 1] - times[last]) <= 2 * mean:
                last += 1
                value = surprise_of(rate * <double>(times[last] - times[first]), <double>(last - first + 1))
                if value > most:
                    most, best = value, last
            last = best
            best = first
            while best - first < FURTHER and last - best >= 3:  # at least three times are left
                best += 1
                value = surprise_of(rate * <double>(times[last] - times[best]), <double>(last - best + 1))
                if value > most:
                    most, first = value, best
            if most >= threshold and last - first + 1 >= min_spikes:
                out[bursts, 0] = first
                out[bursts, 1] = last + 1
                surprise[bursts] = most
                bursts += 1
                k = last + 1
            else:
                k += 1
    return bursts


cdef inline Py_ssize_t nearest(
    const int64_t *onsets, Py_ssize_t low, Py_ssize_t high, int64_t time
) noexcept nogil:
    """The place in [low, high) of the ascending onset nearest to `time`, the earlier of two; high for none."""
    cdef Py_ssize_t left = low, right = high, middle
    while left < right:
        middle = left + (right - left) // 2
        if onsets[middle] < time:
            left = middle + 1
        else:
            right = middle
    if left == high:
        return high - 1 if low < high else high
    if left > low and time - onsets[left - 1] <= onsets[left] - time:
        return left - 1
    return left


cdef inline int64_t distance(int64_t a, int64_t b) noexcept nogil:
    return a - b if a > b else b - a


def count_linked(
    const int64_t[::1] onsets, const int64_t[::1] offsets, const int64_t[::1] links, const int32_t[::1] units,
    const int64_t[::1] delays, int32_t[::1] out,
) -> None:
    """Write to how many neighbouring units each burst is linked: those with an onset within the delay of its own.

    onsets: of all bursts, unit after unit; offsets (units + 1,); the neighbours of unit u are
    units[links[u]:links[u + 1]], with the largest delay to each; out: one of each burst.
    """
    cdef Py_ssize_t unit, burst, link, at, other
    cdef const int64_t *t
    if onsets.shape[0] == 0:
        return
    t = &onsets[0]
    with nogil:
        for unit in range(offsets.shape[0] - 1):
            for burst in range(offsets[unit], offsets[unit + 1]):
                out[burst] = 0
                for link in range(links[unit], links[unit + 1]):
                    other = units[link]
                    at = nearest(t, offsets[other], offsets[other + 1], t[burst])
                    out[burst] += at < offsets[other + 1] and distance(t[at], t[burst]) <= delays[link]


cdef inline int32_t root_of(int32_t *parents, int32_t node) noexcept nogil:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


def join_linked(
    const int64_t[::1] onsets, const int64_t[::1] offsets, const int64_t[::1] links, const int32_t[::1] units,
    const int64_t[::1] delays, const uint8_t[::1] is_core, int32_t[::1] cluster,
) -> None:
    """Write the cluster of each burst, the number of a burst of it, or -1.

    Bursts that are core are in one cluster with the core bursts that they are linked to; others are in that of the core
    burst, of those that they are linked to, whose onset is nearest in time (of equally near ones the first listed).
    """
    cdef Py_ssize_t unit, burst, link, at, other
    cdef int64_t least
    cdef int32_t one, two, chosen
    cdef const int64_t *t
    cdef int32_t *parents
    if onsets.shape[0] == 0:
        return
    t, parents = &onsets[0], &cluster[0]
    with nogil:
        for burst in range(onsets.shape[0]):
            parents[burst] = <int32_t>burst
        for unit in range(offsets.shape[0] - 1):
            for burst in range(offsets[unit], offsets[unit + 1]):
                if not is_core[burst]:
                    continue
                for link in range(links[unit], links[unit + 1]):
                    other = units[link]
                    at = nearest(t, offsets[other], offsets[other + 1], t[burst])
                    if at < offsets[other + 1] and is_core[at] and distance(t[at], t[burst]) <= delays[link]:
                        one, two = root_of(parents, <int32_t>burst), root_of(parents, <int32_t>at)
                        if one < two:
                            parents[two] = one
                        else:
                            parents[one] = two
        for burst in range(onsets.shape[0]):
            if is_core[burst]:
                parents[burst] = root_of(parents, <int32_t>burst)
        for unit in range(offsets.shape[0] - 1):
            for burst in range(offsets[unit], offsets[unit + 1]):
                if is_core[burst]:
                    continue
                chosen, least = -1, -1
                for link in range(links[unit], links[unit + 1]):
                    other = units[link]
                    at = nearest(t, offsets[other], offsets[other + 1], t[burst])
                    if at < offsets[other + 1] and is_core[at] and distance(t[at], t[burst]) <= delays[link]:
                        if least < 0 or distance(t[at], t[burst]) < least:
                            least = distance(t[at], t[burst])
                            chosen = parents[at]
                parents[burst] = chosen
