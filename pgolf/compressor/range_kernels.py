"""The compiled part of ``compressor=range``: the binary coder, counters, mixers and the two models.

A decision of probability p costs -log2 p bits: the coder keeps an interval of 32 bits, gives each outcome its
share, p in units of 2^-16, and moves a byte out whenever less than 24 bits are left. A model walks through its
symbols in the same way whether it encodes or decodes, because one function, ``_code``, does both: given the
decision when encoding, returning it when decoding.

Everything is an integer of 64 bits that never overflows, so every machine computes the same, and so does the
plain Python that is left where numba's compiler is switched off (slow; the tests use it as the reference).
All kernels live in this one file because numba's cache on disk looks at nothing but its age.
"""

# a int64 [SLOTS] state of the coder; packed_P uint8; T int32 [TABLES]; cost_C int64, see ``_code``
# s inputs of a mixer, w its weights; t counters

from __future__ import annotations

import numpy as np

from pgolf.core.compiled import compiled

P_BITS = 16  # of the probabilities that the coder takes
P_ONE = 1 << P_BITS
COUNT_BITS = 10  # of a counter, below its probability: how often it was seen
LAST_COUNT = (1 << COUNT_BITS) - 1
COUNTER_BITS = 21  # of its probability
COUNTER_ONE = (1 << COUNTER_BITS) - 1
FRESH = 1 << (COUNTER_BITS - 1) << COUNT_BITS  # one half, never seen
LOGIT_UNIT = 256  # of a logit: ln(p / (1 - p)) = 1
LOGIT_END = 12 * LOGIT_UNIT - 1  # where 2^-16 ends
STRETCHES = 4096
MEANS = 1 << 14  # mean |q| in units of 1/64
CURVE_STEPS = 64  # of a distribution function, per sigma
CURVE_END = 8 * CURVE_STEPS
CURVE_BITS = 28
CURVE_ONE = 1 << CURVE_BITS
INVERSE_BITS = 18
INVERSE_ONE = 1 << INVERSE_BITS  # of 1 / sigma

SQUASH = 0
STRETCH = SQUASH + 2 * LOGIT_END + 1
RATE = STRETCH + STRETCHES
OCTAVES = RATE + (1 << COUNT_BITS)
NORMAL = OCTAVES + MEANS
WIDTHS = NORMAL + 2 * CURVE_END + 1
TABLES = WIDTHS + MEANS

INPUTS = 6  # of a mixer: logits
FIRST_WEIGHT = P_ONE // 5

MAX_TAPS = 256  # of the linear filter along a row
TAP_END = 1 << 24
FILTER_STEP = 1300 * 16
RECENT_ROWS, LIKED_ROWS = 32, 8  # where a row that resembles this one is looked for
FIRST_LOOK, SECOND_LOOK = 8, 20  # in which columns
MAX_COLUMNS, FOLD = 1 << 13, 1 << 10  # longer rows are cut into rows of FOLD
ROW_PRIOR, COLUMN_PRIOR = 24, 12  # weights that a row's, rows that a column's first estimate counts for
MOST_ROWS = 4096  # after which a column forgets the older half
ROW_CONTEXTS, PLACE_CONTEXTS, SIZE_CONTEXTS = 56, 16, 28 * 32

UNLIKE = 15  # the last of the classes of likeness to a reference row
CONFIDENCES = 8  # classes of how often a byte's counter was seen
RUN_BYTES = 4096
EXPECTED, CLASSES = 96, 64  # sizes of an n-gram that are told apart: expected, its own
ALONE = 48  # added to an expected size, which may be below one
HASH_MASK = (1 << 28) - 1

LOW, RANGE, CODE, CACHE, PENDING, AT, END, DECODING, OVERRUN, SPENT = range(10)
SLOTS = 10
COST_UNIT = 1 << 16  # of the ideal code length: one bit
TOP = 1 << 24
FULL = (1 << 32) - 1


# ---- the coder


@compiled()
def _emit(a, packed_P, byte):
    """Put one byte down; the very first, which is always 0, is left out."""
    if a[AT] >= a[END]:
        a[OVERRUN] = 1
    elif a[AT] >= 0:
        packed_P[a[AT]] = byte
    a[AT] += 1


@compiled()
def _shift(a, packed_P):
    """Move the top byte of ``low`` out, once it is known whether a carry will still reach it."""
    low = a[LOW]
    if low < 0xFF000000 or low > FULL:
        carry = low >> 32
        _emit(a, packed_P, (a[CACHE] + carry) & 0xFF)
        while a[PENDING] > 0:
            _emit(a, packed_P, (0xFF + carry) & 0xFF)
            a[PENDING] -= 1
        a[CACHE] = (low >> 24) & 0xFF
    else:
        a[PENDING] += 1
    a[LOW] = (low & 0x00FFFFFF) << 8


@compiled()
def _take(a, packed_P):
    """The next byte of the stream; past its end 0, and OVERRUN."""
    byte = 0
    if a[AT] < a[END]:
        byte = packed_P[a[AT]]
    else:
        a[OVERRUN] = 1
    a[AT] += 1
    return byte


@compiled()
def _code(a, packed_P, p, bit, cost_C):
    """Code one decision whose probability of being 1 is ``p`` / 2^16; returns it.

    ``cost_C`` is empty, or has what a decision of each probability costs, for those who want the sum.
    """
    share = (a[RANGE] >> P_BITS) * p
    if a[DECODING]:
        bit = np.int64(a[CODE] < share)
    rest = a[RANGE] - share
    a[RANGE] = rest + (share - rest) * bit  # without branches: half of them would be guessed wrong
    if a[DECODING]:
        a[CODE] -= share * (1 - bit)
    else:
        a[LOW] += share * (1 - bit)
    while a[RANGE] < TOP:
        a[RANGE] <<= 8
        if a[DECODING]:
            a[CODE] = a[CODE] << 8 | _take(a, packed_P)
        else:
            _shift(a, packed_P)
    if len(cost_C):
        a[SPENT] += cost_C[p if bit else P_ONE - p]
    return bit


# ---- counters and mixers


@compiled()
def _logit(t, i, T):
    return np.int64(T[STRETCH + (np.int64(t[i]) >> (COUNT_BITS + COUNTER_BITS - 12))])


@compiled()
def _count(t, i, bit, T):
    """Move counter ``i`` towards ``bit``: by 1 / (n + 1.5) the n-th time, no slower than the last of RATE."""
    seen = np.int64(t[i]) & LAST_COUNT
    p = np.int64(t[i]) >> COUNT_BITS
    p += (bit * COUNTER_ONE - p) * T[RATE + seen] >> 16
    t[i] = p << COUNT_BITS | min(seen + 1, LAST_COUNT)


@compiled()
def _mix(w, at, s):
    """The weighted sum of the inputs' logits: a logit."""
    total = np.int64(0)
    for i in range(INPUTS):
        total += w[at + i] * s[i]
    return max(-LOGIT_END, min(LOGIT_END, total >> 16))


@compiled()
def _learn(w, at, s, logit, bit, rate, T):
    """Move the weights down the gradient of the cost: by input times error."""
    error = ((bit << P_BITS) - T[SQUASH + LOGIT_END + logit]) * rate
    for i in range(INPUTS):
        w[at + i] += (s[i] * error + (1 << 19)) >> 20


# ---- weights: integers on a grid, in rows and columns


@compiled()
def _filtered(taps_J, history_J):
    """The linear prediction of a weight from those before it in its row, in units of 1/64."""
    total = np.int64(0)
    for j in range(len(taps_J)):
        total += np.int64(taps_J[j]) * history_J[j]
    return max(-(1 << 13), min(1 << 13, total >> 12))


@compiled()
def _adapt(taps_J, history_J, gain):
    """Normalised least mean squares: each tap moves by its input times ``gain``."""
    for j in range(len(taps_J)):
        moved = taps_J[j] + ((gain * history_J[j] + 32) >> 6)
        taps_J[j] = max(-TAP_END, min(TAP_END, moved))


@compiled()
def _nearest(q_N, row, start, columns, c, liked, likes):
    """(weight offset of the earlier row most like this one in its first c columns, or -1; their distance)."""
    best, least = np.int64(-1), np.int64(1) << 60
    for j in range(RECENT_ROWS + LIKED_ROWS):
        if j < RECENT_ROWS:
            other = row - (j + 1) * columns
        elif j - RECENT_ROWS < likes:
            other = liked[j - RECENT_ROWS]
        else:
            break
        if other < start:
            continue
        distance = np.int64(0)
        for i in range(c):
            distance += abs(np.int64(q_N[row + i]) - q_N[other + i])
        if distance < least:
            best, least = other, distance
    return best, least


@compiled()
def _code_weight(a, packed_P, value, depth, mean_E, inverse_E, curve_EE, context_K, mixer_at, s, t, w, rate, T, cost_C):
    """Code one weight, from the sign down: each decision halves the interval that it may lie in.

    Three normal laws (E) give each half its share: ``mean_E`` in units of 1/64, ``inverse_E`` 1 / sigma, or 0
    for none; three counters (K) in the contexts ``context_K`` correct them; two mixers decide.
    """
    low, span, node = -(1 << (depth - 1)), 1 << depth, 1
    curve_EE[:, 0], curve_EE[:, 1] = 0, CURVE_ONE
    for d in range(depth):
        middle = low + (span >> 1)
        for e in range(3):
            if inverse_E[e] == 0:
                s[e] = 0
                continue
            # Half a step below ``middle``: the boundary between two integers, where a normal law splits them.
            x = ((2 * middle - 1) * 32 - mean_E[e]) * inverse_E[e] >> INVERSE_BITS
            x = max(-CURVE_END, min(CURVE_END, x))
            below = np.int64(T[NORMAL + CURVE_END + x])
            # A uniform share for every value left, so that a far tail never claims to be impossible.
            whole = curve_EE[e, 1] - curve_EE[e, 0] + (span << 6) + 1
            s[e] = T[STRETCH + ((curve_EE[e, 1] - below + (span << 5)) << 12) // whole]
            curve_EE[e, 2] = below
        for i in range(3):
            s[3 + i] = _logit(t, context_K[i] + node, T)
        by_node, by_likeness = node * INPUTS, mixer_at + d * INPUTS
        x, y = _mix(w, by_node, s), _mix(w, by_likeness, s)
        # Averaged as logits, not as probabilities: the surer of the two mixers then counts for more.
        p = np.int64(T[SQUASH + LOGIT_END + ((x + y) >> 1)])
        middle_up = _code(a, packed_P, p, np.int64(value >= middle), cost_C)
        _learn(w, by_node, s, x, middle_up, rate, T)
        _learn(w, by_likeness, s, y, middle_up, rate, T)
        for i in range(3):
            _count(t, context_K[i] + node, middle_up, T)
        # The half that was taken keeps one end; the split becomes its other, so no law is evaluated twice.
        for e in range(3):
            curve_EE[e, 1 - middle_up] = curve_EE[e, 2]
        span >>= 1
        low += span * middle_up
        node = 2 * node + middle_up
    return low


@compiled()
def _octave(size, T):
    """floor(8 log2) of a size in units of 1/64."""
    return np.int64(T[OCTAVES + max(1, min(MEANS - 1, size))])


@compiled()
def _contexts(context_K, nodes, row_size, size, filtered, place, T):
    """Where the three counters lie: by the row's size, by the place in the row, by expected size and tilt."""
    tilt = max(-15, min(15, filtered * 16 // size)) + 16
    context_K[0] = (_octave(row_size, T) >> 1) * nodes
    context_K[1] = (ROW_CONTEXTS + place) * nodes
    context_K[2] = (ROW_CONTEXTS + PLACE_CONTEXTS + (_octave(size, T) >> 2) * 32 + tilt) * nodes


@compiled("void(int64[::1], uint8[::1], int8[::1], int64[:, ::1], int64, int32[::1], int64[::1])")
def code_weights(a, packed_P, q_N, parts_S2, largest, T, cost_C):
    """Code ``q_N``, or fill it. ``parts_S2``: weights and columns of each matrix in it, the last row may be short.

    ``largest`` is the largest |q|. Stops as soon as the stream has run out or over. Sizes are means of |q|, and
    like predicted values in units of 1/64. One long function, because its state has to stay in registers.
    """
    depth, widest = 1, 1
    while 1 << (depth - 1) <= largest and depth < 8:
        depth += 1
    for part in range(len(parts_S2)):
        widest = max(widest, parts_S2[part, 1])
    nodes, reach = 1 << depth, min(MAX_TAPS, widest)
    t = np.full((ROW_CONTEXTS + PLACE_CONTEXTS + SIZE_CONTEXTS) * nodes, FRESH, dtype=np.int32)
    w = np.full((nodes + (UNLIKE + 1) * 8) * INPUTS, FIRST_WEIGHT, dtype=np.int64)
    taps_CJ, history_C = np.zeros(widest * reach, dtype=np.int32), np.zeros(widest, dtype=np.int32)
    total_C, miss_C, offset_C = (
        np.zeros(widest, np.int64),
        np.zeros(widest, np.int64),
        np.zeros(widest, np.int64),
    )
    mean_E, inverse_E, curve_EE = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros((3, 3), np.int64)
    context_K, s, liked = np.zeros(3, np.int64), np.zeros(INPUTS, np.int64), np.zeros(LIKED_ROWS, np.int64)
    k = columns = rows_before = np.int64(0)
    overall = np.int64(4 << 6)
    for part in range(len(parts_S2)):
        start, end = k, k + parts_S2[part, 0]
        if parts_S2[part, 1] != columns:  # from matrix to matrix the filter is kept where it fits
            columns = parts_S2[part, 1]
            taps_CJ[:], offset_C[:] = 0, 0
        total_C[:], miss_C[:] = 0, overall << 6
        energy_before = max(1, (overall * overall >> 12) * columns * 3 // 2)
        rows = likes = np.int64(0)
        while k < end:
            if a[OVERRUN]:
                return
            row, width = k, min(columns, end - k)
            total = expected = ROW_PRIOR * overall  # of the row so far, and what its columns expected
            per_row = (1 << 24) // (rows + COLUMN_PRIOR)
            energy, seen = np.int64(1), 0
            apart, compared = 8 * overall, 8  # how far the row is from its reference row, in how many columns
            reference = row - columns if rows > 0 else np.int64(-1)
            if likes > 0:
                reference = liked[(likes - 1) % LIKED_ROWS]
            for c in range(width):
                if (c == FIRST_LOOK or c == SECOND_LOOK) and rows > 0:  # noqa: SIM109 - a tuple is slow here
                    reference, apart = _nearest(q_N, row, start, columns, c, liked, likes)
                    apart, compared = apart << 6, c
                column_size = (total_C[c] + COLUMN_PRIOR * overall) * per_row >> 24
                ratio = (total << 12) // expected
                size = max(1, min(MEANS - 1, column_size * ratio >> 12))
                inverse_E[0] = T[WIDTHS + size]
                near = min(c, reach)
                taps_J, history_J = taps_CJ[c * reach : c * reach + near], history_C[c - near : c]
                filtered = _filtered(taps_J, history_J) + (offset_C[c] >> 10)
                mean_E[2] = filtered
                inverse_E[2] = T[WIDTHS + max(1, min(MEANS - 1, (miss_C[c] >> 6) * ratio >> 12))]
                likeness, inverse_E[1] = UNLIKE, 0
                if reference >= 0:
                    mean_E[1] = np.int64(q_N[reference + c]) << 6
                    gap = max(6, min(MEANS - 1, apart // compared))
                    likeness = min(UNLIKE, gap * 8 // size)
                    if likeness < 12:
                        inverse_E[1] = T[WIDTHS + gap]
                place = seen * 8 + min(7, (columns - c - 1) * 16 // columns)
                _contexts(context_K, nodes, total // (c + ROW_PRIOR), size, filtered, place, T)
                mixer_at = (nodes + likeness * 8) * INPUTS
                rate = 6 + 640 // (64 + (k >> 9))
                value = _code_weight(
                    a, packed_P, np.int64(q_N[k]), depth, mean_E, inverse_E, curve_EE,
                    context_K, mixer_at, s, t, w, rate, T, cost_C
                )  # fmt: skip
                q_N[k] = history_C[c] = value
                k += 1
                now, error = abs(value), (value << 6) - filtered
                if now == largest:
                    seen = 1
                energy += value * value
                gain = error * FILTER_STEP // max(energy_before, energy)
                _adapt(taps_J, history_J, gain)
                offset_C[c] = max(-TAP_END, min(TAP_END, offset_C[c] + ((gain * 4 + 32) >> 6)))
                miss_C[c] += ((abs(error) << 6) - miss_C[c]) >> 5
                total_C[c] += now << 6
                total += now << 6
                expected += column_size
                if reference >= 0:
                    apart += abs((value << 6) - mean_E[1])
                    compared += 1
                    if compared > 24:  # only about so many columns count
                        apart -= apart // compared
                        compared -= 1
            if reference >= 0 and apart * 4 < overall * compared:
                liked[likes % LIKED_ROWS] = row
                likes += 1
            rows, rows_before, energy_before = rows + 1, rows_before + 1, energy
            row_size = (total - ROW_PRIOR * overall) // width
            overall = max(1, overall + (row_size - overall) // min(rows_before, 32))
            if rows >= MOST_ROWS:
                rows >>= 1
                total_C >>= 1


# ---- bytes: text, headers, and numbers from their most significant byte down


@compiled()
def _hash(h, value):
    """28 bits of ``h`` and ``value`` (each below 2^28) mixed."""
    return ((h + value + 1) * 0x9E3779B1 >> 11) & HASH_MASK


@compiled()
def _text_contexts(byte_N, i, hash_I):
    """Contexts of byte i of plain bytes: the 0, 1, 2, 3, 4 and 6 bytes before it."""
    h = np.int64(0)
    hash_I[0] = 0
    for n in range(1, 7):
        h = _hash(h, (np.int64(byte_N[i - n]) if i >= n else 0) + 256 * n)
        if n != 5:
            hash_I[min(n, 5)] = h


@compiled()
def _number_contexts(byte_N, i, width, owner, trend, hash_I):
    """Contexts of byte i of numbers of ``width`` bytes: what is known of the number, its tensor, those before."""
    place = i % width
    known = np.int64(place)
    for n in range(place):
        known = _hash(known, np.int64(byte_N[i - place + n]))
    same = np.int64(byte_N[i - width]) if i >= width else 0
    first = np.int64(byte_N[i - place - width]) if i >= width else 0
    hash_I[0] = place
    hash_I[1] = _hash(known, np.int64(1 << 20))
    hash_I[2] = _hash(known, (2 << 20) + owner)
    hash_I[3] = _hash(_hash(known, same), (3 << 20) + first)
    hash_I[4] = _hash(known, (4 << 20) + (trend >> 8))
    hash_I[5] = _hash(known, (5 << 20) + (trend >> 5))


@compiled("void(int64[::1], uint8[::1], uint8[::1], int64, int64[::1], int32[::1], int64[::1])")
def code_bytes(a, packed_P, byte_N, width, count_S, T, cost_C):
    """Code ``byte_N``, or fill it. ``width`` 1: plain bytes; more: numbers of so many bytes, ``count_S`` in each
    tensor.

    Stops as soon as the stream has run out or over.
    """
    size = np.int64(1) << 16
    while size < 24 * len(byte_N) and size < 1 << 22:
        size <<= 1
    t = np.full(size, FRESH, dtype=np.int32)
    runs = np.full(1, FRESH, dtype=np.int32)
    w = np.zeros((256 + 8 * INPUTS) * INPUTS * CONFIDENCES, dtype=np.int64)
    for i in range(len(w)):
        w[i] = P_ONE * (2 + i % CONFIDENCES) // 32
    hash_I, slot_I, s = np.zeros(INPUTS, np.int64), np.zeros(INPUTS, np.int64), np.zeros(INPUTS, np.int64)
    node_I, bit_I = np.zeros(INPUTS, np.int64), np.zeros(INPUTS, np.int64)
    trend, owner, left, run_end = np.int64(0), np.int64(0), np.int64(0), 0
    for i in range(len(byte_N)):
        before = np.int64(byte_N[i - 1]) if i else 0
        if i % RUN_BYTES == 0:
            if a[OVERRUN]:
                return
            stop = min(len(byte_N), i + RUN_BYTES)
            run = np.int64(1)
            if not a[DECODING]:
                for j in range(i, stop):
                    if byte_N[j] != before:
                        run = 0
                        break
            p = np.int64(runs[0]) >> (COUNT_BITS + COUNTER_BITS - P_BITS)
            run = _code(a, packed_P, max(1, min(P_ONE - 1, p)), run, cost_C)
            _count(runs, np.int64(0), run, T)
            if run:
                run_end = stop
        if i < run_end:
            byte_N[i] = before
        else:
            if width == 1:
                _text_contexts(byte_N, i, hash_I)
            else:
                _number_contexts(byte_N, i, width, owner, trend, hash_I)
            byte, node = np.int64(byte_N[i]), 1
            rate = 24 + (64 << 13) // ((1 << 13) + i)
            for d in range(8):
                known = 0
                for c in range(INPUTS):
                    slot = ((hash_I[c] + node * 0x2545F491 & HASH_MASK) * 0x9E3779B1 >> 20) & (size - 1)
                    seen = np.int64(t[slot]) & LAST_COUNT
                    confidence = min(seen, 4) + (seen > 8) + (seen > 30) + (seen > 200)
                    slot_I[c] = slot
                    s[c] = _logit(t, slot, T) if seen else 0
                    known += (seen > 0) if c > 1 else 0
                    node_I[c] = (node * INPUTS + c) * CONFIDENCES + confidence
                    bit_I[c] = ((256 + d * INPUTS) * INPUTS + c) * CONFIDENCES + confidence
                x, y = np.int64(0), np.int64(0)
                for c in range(INPUTS):
                    bit_I[c] += known * INPUTS * CONFIDENCES
                    x += w[node_I[c]] * s[c]
                    y += w[bit_I[c]] * s[c]
                x = max(-LOGIT_END, min(LOGIT_END, x >> 16))
                y = max(-LOGIT_END, min(LOGIT_END, y >> 16))
                p = np.int64(T[SQUASH + LOGIT_END + ((x + y) >> 1)])
                bit = _code(a, packed_P, p, (byte >> (7 - d)) & 1, cost_C)
                error_x = ((bit << P_BITS) - T[SQUASH + LOGIT_END + x]) * rate
                error_y = ((bit << P_BITS) - T[SQUASH + LOGIT_END + y]) * rate
                for c in range(INPUTS):
                    w[node_I[c]] += (s[c] * error_x + (1 << 19)) >> 20
                    w[bit_I[c]] += (s[c] * error_y + (1 << 19)) >> 20
                    _count(t, slot_I[c], bit, T)
                node = 2 * node + bit
            byte_N[i] = node - 256
        if width > 1 and i % width == width - 1:
            top = np.int64(byte_N[i - width + 1]) * 256 + byte_N[i - width + 2]
            trend = top if left == 0 and i < width else trend + ((top - trend) >> 3)
            left += 1
            while owner < len(count_S) and left >= count_S[owner]:
                owner += 1
                left = 0


# ---- counts of n-grams: which are kept, and how often each came


@compiled()
def _decide(a, packed_P, t, i, bit, T, cost_C):
    """A decision by counter ``i`` alone."""
    p = np.int64(t[i]) >> (COUNT_BITS + COUNTER_BITS - P_BITS)
    bit = _code(a, packed_P, max(1, min(P_ONE - 1, p)), bit, cost_C)
    _count(t, i, bit, T)
    return bit


@compiled()
def code_counts(a, packed_P, size_N, token_N, after_N, first_N, stop_K, everything, T, cost_C):
    """See ``pgolf.ngram.packed_counts``, whose numbering of n-grams N this is; all but ``stop_K`` and ``everything``,
    the size of the whole text, is filled in while decoding.

    An n-gram is looked for among those that end alike after one token less at the start, by the size that it would have
    if its first token and its last had nothing to do with each other; as much is known of its own size then.
    """
    vocab_size, places = stop_K[0], EXPECTED * len(stop_K)
    t = np.full((places + CLASSES) * CLASSES, FRESH, dtype=np.int32)
    mean = np.int64(0)
    for v in range(vocab_size):
        node = np.int64(1)
        for d in range(6):
            bit = (size_N[v] >> (5 - d)) & 1
            node = 2 * node + _decide(a, packed_P, t, ((mean >> 3) & 63) * CLASSES + node, bit, T, cost_C)
        size_N[v] = node - CLASSES
        mean += size_N[v] - (mean >> 3)
    t[:] = FRESH
    entry, begin = vocab_size, np.int64(0)
    for k in range(1, len(stop_K)):
        for node in range(begin, stop_K[k - 1]):
            after, like, last = after_N[node], 0, vocab_size
            if k > 1:
                like, last = first_N[after], first_N[after + 1]
            whole = everything if k == 1 else size_N[after]
            for other in range(like, last):
                if size_N[other] == 0 or size_N[node] == 0:
                    continue
                token = other if k == 1 else np.int64(token_N[other])
                expected = max(0, min(EXPECTED - 1, size_N[node] + size_N[other] - whole + ALONE))
                place = (expected * len(stop_K) + k) * CLASSES
                here = np.int64(0)
                if not a[DECODING] and entry < first_N[node + 1]:
                    here = np.int64(token_N[entry] == token)
                if not _decide(a, packed_P, t, place, here, T, cost_C):
                    continue
                if entry == stop_K[k]:  # only a damaged stream has more
                    a[OVERRUN] = 1
                    return
                size, most = np.int64(1), min(size_N[node], size_N[other])
                while size < most:
                    more = np.int64(size_N[entry] > size)
                    if not _decide(a, packed_P, t, place + size, more, T, cost_C):
                        break
                    size += 1
                size_N[entry], token_N[entry], after_N[entry] = size, token, other
                entry += 1
            if a[DECODING]:
                first_N[node + 1] = entry
        if entry < stop_K[k]:
            a[OVERRUN] = 1
            return
        begin = stop_K[k - 1]
