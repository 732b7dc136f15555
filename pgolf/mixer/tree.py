"""Logistic mixing in a binary tree of the vocabulary, of the network, counts of each order, who came last, and experts.

Formula: the tokens are the leaves of a binary tree of depth ceil(log2 V), in the order of their ids or halved again and
again by the principal axis of their embeddings; a token's probability is the product of the turns that lead to it. At a
node let P_k be absolute discounting of order k down to the network, P_1, as in ``ngram=backoff``, and x_k = logit
P_k(left) for those orders that have counts there. A turn left has sigma(z),

    z = mean over s of (u_s x_1 + sum_k w_sk (x_k - x_{k-1}) + sum_e y_se (x_e - x_1)) + sum_k r_k,

with one weight set s for the node's level and one for the longest order that has counts there; w by how many tokens
and how many distinct ones of the order's context lie below; e are the experts; r signed by where the context's latest
successor lies, and chosen by how many times in a row it came and how long ago. Without counts or experts a turn is the
network's. After the token, turn after turn down its path, each set descends the gradient of its own code length, r that
of the mean, faster while it has seen little. A row is made of turns: it sums to one.
Source: logistic context mixing (Mahoney 2005, PAQ8), here over a tree of classes (Morin and Bengio 2005).
Bytes: none. Memory: see ``most_bytes``. Time: O(V), and some tens of nanoseconds for each node with counts; beside an
expert every node has something to mix, so that a whole row of 4,096 takes ten times as long as a price, and only audit
and decoding ask for rows (``Stage.dear_rows``).
Hurts: on streams too short to teach it; where ``ngram`` says the same counts again.

The counts. A *node* (of counts) is a context; it is at the same time an *entry*, its last token after the others: entry
n of the context without it. A context's entries form a list, in runs of growing length.
"""

# V vocabulary, D levels of turns, M = 2^(D+1) places in the tree (root 1, children of m: 2m, 2m+1, leaves from 2^D on),
# K contexts of 1 … K tokens (orders 2 … K+1), L lanes, N contexts, H hash slots, S = 2 weight sets, R what chooses a
# set's weights, B buckets; in a kernel's arguments E rows, the network's first, F signals in, S signals out

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, NonNegativeFloat, PositiveInt
from pgolf.mixer.shares import weight_names

MOST_ORDER = 12
GROWTH = 1.5  # of an array that is full
RUN_LENGTH = 64  # entries that are set aside together, at most
SPARE = 1.5  # hash slots for each entry
POWER_STEPS = 10  # towards a principal axis
LEAST = np.float32(1e-30)  # what twelve turns of 1e-9 would come to is written as this
MOST_LOGIT = 20.0
MOST_NEWS = 10.0  # beyond, a step could overshoot
BUCKETS = 19  # of a weight: none, or 6 sizes of the count times 3 of the number of distinct tokens
RECENCIES = 2 * 4 * 9  # of a recency: both sides or one known, times in a row, how long ago
SETTLED = 20.0  # information at which a recency's extra rate has halved; an undecided turn gives a quarter

TOTAL, DISTINCT, FIRST, LAST, RECENT, RUN, WHEN, LOST = range(8)  # of a context; of its entries, the latest token, …
TOKEN, COUNT, NEXT, BEFORE = range(4)  # of an entry; BEFORE: the context that it is an entry of
USED, LEARNT, ENTRIES = range(3)
DISCOUNT, RATE, NETWORK_RATE, RECENCY_RATE, RECENCY_START = range(5)


class TreeMixer(NamedTuple):
    """Context v < V is that of the one token v; ``slot_H`` finds a context by what it is an entry of and its token.

    LOST: of the count with which a context began, what is of none of its entries; it goes to the order below."""

    node_N8: np.ndarray  # int32
    entry_N4: np.ndarray  # int32
    slot_H: np.ndarray  # int32, 0: empty
    here_LK: np.ndarray  # int32: the context of the lane's last 1 … K tokens, -1: there are not so many
    size_3: np.ndarray  # int64: contexts USED, those set aside included; tokens LEARNT; ENTRIES
    leaf_V: np.ndarray  # int32: each token's place in the tree
    token_V: np.ndarray  # int32: the tokens from leaf to leaf
    network_SRK: np.ndarray  # float64: u by the node's longest order as well (0: none)
    weight_SRKB: np.ndarray  # float64: w
    expert_SRE: np.ndarray  # float64: y; the network's, the first, is not used
    recency_KB: np.ndarray  # float64: r
    taught_KB: np.ndarray  # float64: the information that each r has learnt from
    setting_5: np.ndarray  # float64
    # for the work on one row:
    sum_EM: np.ndarray  # float64: what a row gives to all leaves below
    scale_M: np.ndarray  # float64: what the mixture gives below a place, for each unit that the network does
    count_KM: np.ndarray  # int32: what follows the context and lies below; 0 but for the while
    distinct_KM: np.ndarray  # int32: how many tokens that is
    listed_M: np.ndarray  # int32: places in the tree, level after level from the leaves up
    level_D2: np.ndarray  # int64: of each level, where in the list it begins and ends
    is_listed_M: np.ndarray  # uint8: 0 but for the while
    bits_n: np.ndarray  # uint8: how many bits a number has
    input_E: np.ndarray  # float64: the experts' x
    news_K: np.ndarray  # float64: the orders' x_k - x_{k-1}
    bucket_K2: np.ndarray  # int64: of the order's weight, of its recency
    sign_K: np.ndarray  # float64: of its recency, 0: not here


@register_jitable
def _home(context, token, size):
    mixed = (context * 0x9E3779B1 + token * 0x85EBCA77) & 0xFFFFFFFF  # never beyond 63 bits
    mixed ^= mixed >> 15
    mixed = (mixed * 0x2C1B3C6D) & 0xFFFFFFFF
    return (mixed * size) >> 32


@register_jitable
def _find(entry_N4, slot_H, context, token):
    """The slot of that entry, or the empty one where it belongs."""
    slot = _home(np.int64(context), np.int64(token), len(slot_H))
    while slot_H[slot] != 0:
        entry = slot_H[slot]
        if entry_N4[entry, BEFORE] == context and entry_N4[entry, TOKEN] == token:
            break
        slot = slot + 1 if slot + 1 < len(slot_H) else 0
    return slot


@register_jitable
def _count(state, lane, token):
    """The token in all contexts of its lane, which it then belongs to."""
    node_N8, entry_N4, here_LK = state.node_N8, state.entry_N4, state.here_LK
    state.size_3[LEARNT] += 1
    arrived = np.int64(token)
    for k in range(here_LK.shape[1]):
        node = np.int64(here_LK[lane, k])
        here_LK[lane, k] = arrived
        if node < 0:
            break
        slot = _find(entry_N4, state.slot_H, node, token)
        arrived = np.int64(state.slot_H[slot])
        if arrived == 0:
            distinct = np.int64(node_N8[node, DISTINCT])
            if distinct % RUN_LENGTH == 0 or (distinct < RUN_LENGTH and distinct & (distinct - 1) == 0):
                arrived = state.size_3[USED]  # runs of 1, 1, 2, 4 … RUN_LENGTH, RUN_LENGTH …
                state.size_3[USED] += max(1, min(distinct, RUN_LENGTH))
            else:
                arrived = np.int64(node_N8[node, LAST]) + 1
            if distinct == 0:
                node_N8[node, FIRST] = arrived
            else:
                entry_N4[node_N8[node, LAST], NEXT] = arrived
            entry_N4[arrived, TOKEN] = token
            entry_N4[arrived, BEFORE] = node
            state.slot_H[slot] = arrived
            state.size_3[ENTRIES] += 1
            node_N8[node, LAST] = arrived
            node_N8[node, DISTINCT] = distinct + 1
        entry_N4[arrived, COUNT] += 1
        known = node_N8[node, TOTAL] > 0 and node_N8[node, RECENT] == token
        node_N8[node, RUN] = min(node_N8[node, RUN] + 1, 3) if known else 1
        node_N8[node, RECENT] = token
        node_N8[node, WHEN] = state.size_3[LEARNT]
        node_N8[node, TOTAL] += 1


@register_jitable
def _sum(state, rows_EV):
    sum_EM = state.sum_EM
    leaves, vocab_size = sum_EM.shape[1] // 2, rows_EV.shape[1]
    for e in range(len(sum_EM)):
        for v in range(vocab_size):
            sum_EM[e, state.leaf_V[v]] = rows_EV[e, v]
        for place in range(leaves - 1, 0, -1):
            sum_EM[e, place] = sum_EM[e, 2 * place] + sum_EM[e, 2 * place + 1]


@register_jitable
def _orders(state, lane):
    """How many of the lane's contexts have been followed by a token; the longer ones are among the shorter."""
    orders = 0
    for k in range(state.here_LK.shape[1]):
        node = state.here_LK[lane, k]
        if node < 0 or state.node_N8[node, TOTAL] == 0:
            break
        orders = k + 1
    return orders


@register_jitable
def _list_all(state, lane, orders, vocab_size):
    """Everything with counts below, with experts everything, with the counts."""
    entry_N4, count_KM, distinct_KM = state.entry_N4, state.count_KM, state.distinct_KM
    listed_M, is_listed_M, levels = state.listed_M, state.is_listed_M, len(state.level_D2) - 1
    size = 0
    if len(state.sum_EM) > 1:
        for v in range(vocab_size):
            listed_M[v] = state.leaf_V[v]
            is_listed_M[state.leaf_V[v]] = 1
        size = vocab_size
    for k in range(orders):
        node = state.here_LK[lane, k]
        entry = state.node_N8[node, FIRST]
        for _ in range(state.node_N8[node, DISTINCT]):
            leaf = state.leaf_V[entry_N4[entry, TOKEN]]
            count_KM[k, leaf] = entry_N4[entry, COUNT]
            distinct_KM[k, leaf] = 1
            if is_listed_M[leaf] == 0:
                is_listed_M[leaf] = 1
                listed_M[size] = leaf
                size += 1
            entry = entry_N4[entry, NEXT]
    begin = 0
    for level in range(levels, -1, -1):
        state.level_D2[level, 0], state.level_D2[level, 1] = begin, size
        if level > 0:
            for index in range(begin, state.level_D2[level, 1]):
                place = listed_M[index]
                above = place >> 1
                if is_listed_M[above] == 0:
                    is_listed_M[above] = 1
                    listed_M[size] = above
                    size += 1
                for k in range(orders):
                    if count_KM[k, place] == 0:
                        break
                    count_KM[k, above] += count_KM[k, place]
                    distinct_KM[k, above] += distinct_KM[k, place]
        begin = state.level_D2[level, 1]
    if size == 0:  # the root at least, where a row begins
        listed_M[0] = is_listed_M[1] = 1
        state.level_D2[0, 1] = 1


@register_jitable
def _list_path(state, lane, orders, token):
    """The places from the token's leaf up, with their counts and those beside them."""
    entry_N4, count_KM, distinct_KM, bits_n = state.entry_N4, state.count_KM, state.distinct_KM, state.bits_n
    levels = len(state.level_D2) - 1
    goal = np.int64(state.leaf_V[token])
    for k in range(orders):
        node = state.here_LK[lane, k]
        entry = state.node_N8[node, FIRST]
        for _ in range(state.node_N8[node, DISTINCT]):
            other = np.int64(state.leaf_V[entry_N4[entry, TOKEN]])
            place = other >> max(np.int64(bits_n[other ^ goal]) - 1, 0)  # where the paths have parted
            count_KM[k, place] += entry_N4[entry, COUNT]
            distinct_KM[k, place] += 1
            entry = entry_N4[entry, NEXT]
    place = goal
    for level in range(levels, -1, -1):
        index = levels - level
        state.listed_M[index] = place
        state.level_D2[level, 0], state.level_D2[level, 1] = index, index + 1
        if level > 0:
            for k in range(orders):
                count_KM[k, place >> 1] = count_KM[k, place] + count_KM[k, place ^ 1]
                distinct_KM[k, place >> 1] = distinct_KM[k, place] + distinct_KM[k, place ^ 1]
            place >>= 1


@register_jitable
def _clear(state, orders):
    for index in range(state.level_D2[0, 1]):
        place = state.listed_M[index]
        state.is_listed_M[place] = 0
        for k in range(orders):
            state.count_KM[k, place] = state.distinct_KM[k, place] = 0
            state.count_KM[k, place ^ 1] = state.distinct_KM[k, place ^ 1] = 0


@register_jitable
def _bounded(z, most):
    return min(max(z, -most), most)


@register_jitable
def _turn(z):
    return 1.0 / (1.0 + math.exp(-_bounded(z, MOST_LOGIT)))


@register_jitable
def _mix(state, lane, orders, token):
    """The turns of all listed places, into ``scale_M``; where there is a token, learn each."""
    sum_EM, scale_M, count_KM, distinct_KM = state.sum_EM, state.scale_M, state.count_KM, state.distinct_KM
    network_SRK, weight_SRKB, expert_SRE = state.network_SRK, state.weight_SRKB, state.expert_SRE
    recency_KB, taught_KB = state.recency_KB, state.taught_KB
    node_N8, here_K, setting_5 = state.node_N8, state.here_LK[lane], state.setting_5
    input_E, news_K, bucket_K2, sign_K = state.input_E, state.news_K, state.bucket_K2, state.sign_K
    levels, discount, leaf_V = len(state.level_D2) - 1, setting_5[DISCOUNT], state.leaf_V
    scale_M[1] = 1.0 / sum_EM[0, 1]
    for level in range(levels):
        for index in range(state.level_D2[level, 0], state.level_D2[level, 1]):
            place = np.int64(state.listed_M[index])
            left, right = 2 * place, 2 * place + 1
            p_left, p_right = sum_EM[0, left], sum_EM[0, right]
            scale_M[left] = scale_M[right] = scale_M[place]
            if p_right == 0.0:  # beyond the last token
                continue
            own_left, own_right = p_left / (p_left + p_right), p_right / (p_left + p_right)
            x = _bounded(math.log(p_left / p_right), MOST_LOGIT)
            for e in range(1, len(input_E)):
                input_E[e] = _bounded(math.log(sum_EM[e, left] / sum_EM[e, right]) - x, MOST_NEWS)
            longest, above, recent = 0, x, 0.0
            for k in range(orders):
                count, distinct = count_KM[k, place], distinct_KM[k, place]
                if count == 0:
                    break
                longest, node = k + 1, here_K[k]
                total, given = node_N8[node, TOTAL], discount * node_N8[node, DISTINCT] + node_N8[node, LOST]
                p_left = (count_KM[k, left] - discount * distinct_KM[k, left] + given * p_left) / total
                p_right = (count_KM[k, right] - discount * distinct_KM[k, right] + given * p_right) / total
                now = math.log(p_left / p_right)
                news_K[k] = _bounded(now - above, MOST_NEWS)
                above = now
                size = min(np.int64(state.bits_n[min(count, 63)]), 6)
                bucket_K2[k, 0] = 3 * size + min(distinct, 3) - 3
                leaf = np.int64(leaf_V[node_N8[node, RECENT]])
                sign_K[k] = 0.0
                if leaf >> (levels - level) == place:
                    sign_K[k] = 1.0 if (leaf >> (levels - level - 1)) == left else -1.0
                    one_sided = 1 if count_KM[k, left] == 0 or count_KM[k, right] == 0 else 0
                    ago, bits = state.size_3[LEARNT] - node_N8[node, WHEN] + 1, 0
                    while ago > 0:
                        ago >>= 1
                        bits += 1
                    bucket_K2[k, 1] = (node_N8[node, RUN] * 9 + min(bits // 3, 8)) * 2 + one_sided
                    recent += sign_K[k] * recency_KB[k, bucket_K2[k, 1]]
            if longest == 0 and len(input_E) == 1:
                continue
            z, z_level, z_order = 0.0, 0.0, 0.0
            for s in range(2):
                row = level if s == 0 else longest
                z = network_SRK[s, row, longest] * x + recent
                for k in range(longest):
                    z += weight_SRKB[s, row, k, bucket_K2[k, 0]] * news_K[k]
                for e in range(1, len(input_E)):
                    z += expert_SRE[s, row, e] * input_E[e]
                if s == 0:
                    z_level = z
                else:
                    z_order = z
            p = _turn(0.5 * (z_level + z_order))
            scale_M[left] = scale_M[place] * (p / own_left)
            scale_M[right] = scale_M[place] * ((1.0 - p) / own_right)
            if token < 0:
                continue
            came = 1.0 if np.int64(leaf_V[token]) >> (levels - level - 1) == left else 0.0
            for k in range(longest):
                if sign_K[k] != 0.0:
                    bucket = bucket_K2[k, 1]
                    taught_KB[k, bucket] += p * (1.0 - p)
                    rate = setting_5[RECENCY_RATE] + setting_5[RECENCY_START] / (taught_KB[k, bucket] + SETTLED)
                    recency_KB[k, bucket] += rate * (came - p) * sign_K[k]
            for s in range(2):
                row = level if s == 0 else longest
                error = came - _turn(z_level if s == 0 else z_order)
                network_SRK[s, row, longest] += setting_5[NETWORK_RATE] * error * x
                for k in range(longest):
                    weight_SRKB[s, row, k, bucket_K2[k, 0]] += setting_5[RATE] * error * news_K[k]
                for e in range(1, len(input_E)):
                    expert_SRE[s, row, e] += setting_5[RATE] * error * input_E[e]


@register_jitable
def _tell(state, orders, out_S):
    """How many tokens of context have been seen, and what network and experts weigh at the first turn."""
    out_S[0] = orders
    out_S[1] = 0.5 * (state.network_SRK[0, 0, orders] + state.network_SRK[1, orders, orders])
    for e in range(1, len(state.input_E)):
        out_S[1 + e] = 0.5 * (state.expert_SRE[0, 0, e] + state.expert_SRE[1, orders, e])


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    """The row: the network's, each stretch of leaves below a place scaled as the turns to it ask for."""
    vocab_size, leaves, levels = len(row_V), len(state.scale_M) // 2, len(state.level_D2) - 1
    orders = _orders(state, lane)
    _tell(state, orders, out_S)
    _sum(state, rows_EV)
    _list_all(state, lane, orders, vocab_size)
    _mix(state, lane, orders, -1)
    for level in range(levels + 1):
        width = leaves >> min(level + 1, levels)
        for index in range(state.level_D2[level, 0], state.level_D2[level, 1]):
            place = np.int64(state.listed_M[index])
            first, stop = (2 * place, 2 * place + 2) if level < levels else (place, place + 1)
            for below in range(first, stop):
                if level == levels or state.is_listed_M[below] == 0:
                    scale, begin = state.scale_M[below], below * width - leaves
                    for leaf in range(begin, min(begin + width, vocab_size)):
                        v = state.token_V[leaf]
                        row_V[v] = max(np.float32(scale * rows_EV[0, v]), LEAST)
    _clear(state, orders)


def learn(state, lane, rows_EV, in_F, token):
    """Move the weights at the turns to the token, then count it."""
    orders = _orders(state, lane)
    _sum(state, rows_EV)
    _list_path(state, lane, orders, token)
    _mix(state, lane, orders, token)
    _clear(state, orders)
    _count(state, lane, token)


def price(state, lane, rows_EV, in_F, token, out_S):
    """The token's entry of the row, to the bit, by the turns to it alone; then learn it."""
    orders = _orders(state, lane)
    _tell(state, orders, out_S)
    _sum(state, rows_EV)
    _list_path(state, lane, orders, token)
    _mix(state, lane, orders, -1)
    p = max(np.float32(state.scale_M[state.leaf_V[token]] * rows_EV[0, token]), LEAST)
    _mix(state, lane, orders, token)
    _clear(state, orders)
    _count(state, lane, token)
    return p


def reserve(state: TreeMixer, tokens: int) -> TreeMixer:
    """Room for so many more tokens, whatever they are."""
    contexts, (used, learnt, entries) = state.here_LK.shape[1], state.size_3.tolist()
    most_nodes, most_slots = rooms(learnt + tokens, contexts, len(state.leaf_V))
    added = contexts * tokens  # entries; each may set a run aside, or all together as much again as there is
    least = min(used + min(RUN_LENGTH * added, entries + 2 * added), most_nodes), most_slots
    old = len(state.node_N8), len(state.slot_H)
    nodes, slots = (size if size >= few else max(few, int(GROWTH * size)) for size, few in zip(old, least, strict=True))
    if (nodes, slots) == old:
        return state
    node_N8, entry_N4 = _grown(state.node_N8, nodes, used), _grown(state.entry_N4, nodes, used)
    slot_H = state.slot_H if slots == old[1] else hashed(entry_N4[:used], slots)
    return state._replace(node_N8=node_N8, entry_N4=entry_N4, slot_H=slot_H)


def rooms(tokens: int, contexts: int, vocab_size: int) -> tuple[int, int]:
    """How many contexts, those set aside included, and hash slots a stream of so many tokens can want at most."""
    return vocab_size + 2 * contexts * tokens, int(SPARE * contexts * tokens) + 1


def most_bytes(tokens: int, contexts: int, vocab_size: int) -> int:
    """What the counts of a stream can take, the old arrays beside the new ones as they grow."""
    nodes, slots = rooms(tokens, contexts, vocab_size)
    return int((1 + GROWTH) * (48 * nodes + 4 * slots))


def halved(vector_VD: np.ndarray, token_n: np.ndarray, width: int) -> np.ndarray:
    """The tokens ordered so that each half of ``width`` leaves lies on one side of its vectors' principal axis.

    By loops of numpy's own, whose bits depend on no number of threads; a few steps of power iteration are enough.
    """
    if len(token_n) <= 2:
        return token_n
    half = width // 2
    if len(token_n) <= half:
        return halved(vector_VD, token_n, half)
    x_nD = vector_VD[token_n] - vector_VD[token_n].mean(0)
    axis_D = np.zeros(x_nD.shape[1])
    axis_D[np.square(x_nD).sum(0).argmax()] = 1.0
    for _ in range(POWER_STEPS):
        axis_D = np.einsum("nd,n->d", x_nD, np.einsum("nd,d->n", x_nD, axis_D))
        axis_D /= max(np.abs(axis_D).max(), 1e-30)
    order_n = token_n[np.argsort(np.einsum("nd,d->n", x_nD, axis_D), kind="stable")]
    return np.concatenate([halved(vector_VD, order_n[:half], half), halved(vector_VD, order_n[half:], half)])


def _grown(array: np.ndarray, size: int, used: int) -> np.ndarray:
    grown = np.zeros((size, *array.shape[1:]), dtype=array.dtype)
    grown[:used] = array[:used]
    return grown


def hashed(entry_N4: np.ndarray, size: int) -> np.ndarray:
    """A table of all entries: all at once to where they belong, who finds it taken one further, and so on."""
    slot_H = np.zeros(size, dtype=np.int32)
    waiting_n = np.flatnonzero(entry_N4[:, COUNT])
    place_n = _home(entry_N4[waiting_n, BEFORE].astype(np.int64), entry_N4[waiting_n, TOKEN].astype(np.int64), size)
    while len(place_n):
        free_n = slot_H[place_n] == 0
        slot_H[place_n[free_n]] = waiting_n[free_n]  # of those with one place the last stays
        left_n = slot_H[place_n] != waiting_n
        waiting_n, place_n = waiting_n[left_n], (place_n[left_n] + 1) % size
    return slot_H


class Tree:
    """See the module."""

    neutral: ClassVar[bool] = False
    starts_packed: ClassVar[bool] = True

    def __init__(
        self,
        *,
        max_order: Annotated[int, Between(2, MOST_ORDER)],
        discount: Annotated[float, Between(0, 1, open_low=True)],
        initial_weight: NonNegativeFloat,
        rate: NonNegativeFloat,
        network_rate: NonNegativeFloat,
        recency_rate: NonNegativeFloat,
        recency_start: NonNegativeFloat,
        leaves: Literal["ids", "embedding"],
        max_memory_mb: PositiveInt,
    ) -> None:
        self.max_order, self.discount, self.initial_weight = max_order, discount, initial_weight
        self.settings = (discount, rate, network_rate, recency_rate, recency_start)
        self.max_memory_mb, self.leaves = max_memory_mb, leaves
        self._of: np.ndarray | None = None

    def stage(self, facts: Facts, experts: int) -> Stage:
        """Raises ConfigError for a stream whose counts might not fit in ``max_memory_mb``."""
        contexts, vocab_size, packed = self.max_order - 1, facts.vocab_size, facts.packed
        self._check_memory(vocab_size, facts.targets + (packed.ngrams if packed else 0), contexts)
        levels = max(1, math.ceil(math.log2(vocab_size)))
        places, rows = 2 << levels, max(levels, self.max_order)
        token_V = self._leaves(facts, levels)
        leaf_V = np.argsort(token_V)
        state = TreeMixer(
            node_N8=np.zeros((vocab_size, 8), dtype=np.int32),
            entry_N4=np.zeros((vocab_size, 4), dtype=np.int32),
            slot_H=np.zeros(1, dtype=np.int32),
            here_LK=np.full((facts.lanes, contexts), -1, dtype=np.int32),
            size_3=np.array([vocab_size, 0, 0], dtype=np.int64),
            leaf_V=(leaf_V + (1 << levels)).astype(np.int32),
            token_V=token_V.astype(np.int32),
            network_SRK=np.ones((2, rows, self.max_order)),
            weight_SRKB=np.full((2, rows, contexts, BUCKETS), float(self.initial_weight)),
            expert_SRE=np.full((2, rows, experts + 1), float(self.initial_weight)),
            recency_KB=np.zeros((contexts, RECENCIES)),
            taught_KB=np.zeros((contexts, RECENCIES)),
            setting_5=np.array(self.settings, dtype=np.float64),
            sum_EM=np.zeros((experts + 1, places)),
            scale_M=np.zeros(places),
            count_KM=np.zeros((contexts, places), dtype=np.int32),
            distinct_KM=np.zeros((contexts, places), dtype=np.int32),
            listed_M=np.zeros(places, dtype=np.int32),
            level_D2=np.zeros((levels + 1, 2), dtype=np.int64),
            is_listed_M=np.zeros(places, dtype=np.uint8),
            bits_n=np.array([n.bit_length() for n in range(max(places, 64))], dtype=np.uint8),
            input_E=np.zeros(experts + 1),
            news_K=np.zeros(contexts),
            bucket_K2=np.zeros((contexts, 2), dtype=np.int64),
            sign_K=np.zeros(contexts),
        )
        if packed:
            nodes, entries = (TOTAL, DISTINCT, FIRST, LAST, LOST, RECENT), (TOKEN, COUNT, NEXT, BEFORE)
            state = packed.in_tree(
                state, nodes, entries, RUN_LENGTH, lambda entry_N4, count: hashed(entry_N4, int(SPARE * count) + 1)
            )
        names = ("context", *weight_names(experts))
        return Stage(
            "tree",
            predict,
            learn,
            state,
            names,
            reserve=reserve,
            price=price,
            traces=names,
            learns_from="rows",
            dear_rows=experts > 0,
        )

    def _leaves(self, facts: Facts, levels: int) -> np.ndarray:
        """The tokens from leaf to leaf; by their ids as long as there is no model either."""
        if self.leaves == "ids" or facts.embedding is None:
            return np.arange(facts.vocab_size)
        if self._of is None:
            self._of = halved(facts.embedding(), np.arange(facts.vocab_size), 1 << levels)
        return self._of

    def _check_memory(self, vocab_size: int, tokens: int, contexts: int) -> None:
        most_mb = math.ceil(most_bytes(tokens, contexts, vocab_size) / 1e6)
        if most_mb > self.max_memory_mb:
            raise ConfigError(
                f"mixer.max_memory_mb: {self.max_memory_mb}; counts up to order {self.max_order} of {tokens:,} "
                f"tokens can take {most_mb:,} MB and are not pruned; allow as much, or lower mixer.max_order"
            )
        if rooms(tokens, contexts, vocab_size)[0] >= 2**31:
            raise ConfigError(
                f"mixer.max_order: {self.max_order} is too much for {tokens:,} tokens: more than 2^31 contexts"
            )
