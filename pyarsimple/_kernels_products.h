/* Products with masked matrices: the layers of MADE and FVSBN, hidden units included.
 *
 * A weight from a source of degree s to a target of degree t is free where s <= t. With sources and
 * targets sorted by degree the free weights are a staircase, and only they are multiplied:
 *
 *     forward    out[n, t] = sum over the sources s <= t of h[n, s] B[s, t]
 *     backward   out[n, s] = sum over the targets t >= s of d[n, t] B[s, t]
 *     outer      out[s, t] = sum over n of h[n, s] d[n, t] where free, 0 elsewhere
 *
 * B may also be stored the other way round, as (targets, sources). The first two are one kernel:
 * backward is forward with the degrees counted from the other end.
 *
 * The columns of the result are cut into panels of some vecs. A task copies its panel of B, a block
 * of the inner index k at a time, into contiguous memory, with zeros where it is masked. Then there
 * are two ways to multiply. If the other factor is dense, tiles of the result stay in registers
 * while k runs. If a good part of it is 0, as of bits and of rectified units, what is not 0 is
 * listed first, and row by row only that is multiplied. Either way the terms are added in the order
 * of k, and adding 0 times a finite weight changes no bit; so neither the way matters to the result
 * nor what else is in the batch, nor the threads.
 */

#define PANEL_VECS (VECTOR_BYTES == 64 ? 4 : 8)
#define PANEL (PANEL_VECS * LANES)
#define TILE_VECS 2
#define ROWS_AHEAD 8 /* so many rows before their use they are fetched */
#define ROWS_AT_ONCE (VECTOR_BYTES == 64 ? 12 : 6) /* with TILE_VECS, as many as registers hold */

/* Sort by degree, stably: index[k] is the place of the k-th. Returns 1 if nothing moves, 0 if
 * something does, -1 without memory. */
#ifndef SORT_BY_DEGREE
#define SORT_BY_DEGREE
static int sort_by_degree(ptrdiff_t n, const ptrdiff_t *degree, ptrdiff_t *index)
{
    ptrdiff_t low = n ? degree[0] : 0, high = low, moved = 0;
    for (ptrdiff_t k = 0; k < n; k++) {
        moved += k > 0 && degree[k] < degree[k - 1];
        low = degree[k] < low ? degree[k] : low;
        high = degree[k] > high ? degree[k] : high;
        index[k] = k;
    }
    if (!moved)
        return 1;
    ptrdiff_t *next = calloc((size_t)(high - low + 2), sizeof *next);
    if (next == NULL)
        return -1;
    for (ptrdiff_t k = 0; k < n; k++)
        next[degree[k] - low + 1]++;
    for (ptrdiff_t m = 0; m <= high - low; m++)
        next[m + 1] += next[m];
    for (ptrdiff_t k = 0; k < n; k++)
        index[next[degree[k] - low]++] = k;
    free(next);
    return 0;
}

/* How many of the sorted ones have a degree below the limit. */
static ptrdiff_t n_below(ptrdiff_t n, const ptrdiff_t *degree, const ptrdiff_t *index,
                         ptrdiff_t limit)
{
    ptrdiff_t low = 0, high = n;
    while (low < high) {
        ptrdiff_t middle = (low + high) / 2;
        if (degree[index[middle]] < limit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void reverse(ptrdiff_t n, ptrdiff_t *index)
{
    for (ptrdiff_t i = 0; i < n / 2; i++) {
        ptrdiff_t other = index[n - 1 - i];
        index[n - 1 - i] = index[i];
        index[i] = other;
    }
}
#endif

enum { NAME(END) = 65535 };
#define END NAME(END)

/* What the three kernels share. a is (N, K); the result is (N, M) or, of outer, (K, M). */
struct NAME(product) {
    ptrdiff_t N, K, M;
    const real *a;
    ptrdiff_t a_step;             /* if a is dense: from one k to the next, 1 or -1 */
    const real *b;                /* the weights; of outer (N, M) */
    int m_are_columns;            /* of the weights, which are (K, M); or else (M, K) */
    ptrdiff_t *k_index, *m_index; /* where the sorted k and m are */
    int k_order;                  /* 1 if they are there in order, -1 if backwards, 0 if neither */
    int m_in_place;               /* if they are there in order */
    ptrdiff_t *low, *high;        /* k < high[m] are free; of outer, m from low[k] to high[k] */
    uint16_t *list;               /* (N, K + 1): the k where a is not 0; of outer (K, N + 1), the */
                                  /* n; each with END behind the last. NULL if a is dense */
    int hidden, backward;         /* what becomes of the sums: see finish_rows */
    const real *bias, *h, *keep;
    real *totals;                 /* backward: (n_row_blocks, M) */
    int add;                      /* to what is in the result */
    int turned;                   /* of outer: whether the result is stored as (M, K) */
    ptrdiff_t n_panels, n_row_blocks;
    real *out;
    char *slots;
    size_t slot_bytes;
};

/* Load or store a whole vec, or what is left of a row. */
#define load_some NAME(load_some)
INLINE vec load_some(const real *p, ptrdiff_t left, const real *end)
{
    return left >= LANES ? v_load(p) : left > 0 ? v_load_part(p, left, end) : v_set(0);
}

#define store_some NAME(store_some)
INLINE void store_some(real *p, vec v, ptrdiff_t left)
{
    if (left >= LANES)
        v_store(p, v);
    else
        v_store_part(p, v, left);
}

/* Whether so much of a (N, K) is 0 that lists pay. Some rows stand for all. */
static int NAME(is_sparse)(ptrdiff_t N, ptrdiff_t K, const real *a)
{
    if (N > END || K > END)
        return 0;
    ptrdiff_t step = (N + 15) / 16, seen = 0, zeros = 0;
    for (ptrdiff_t n = 0; n < N; n += step, seen += K)
        for (ptrdiff_t k = 0; k < K; k++)
            zeros += a[n * K + k] == 0;
    return 20 * zeros > 9 * seen;
}

/* Get the scratch memory and sort k and m by degree. Returns where there are `bytes` left of it, or
 * NULL. */
static char *NAME(product_plan)(struct NAME(product) *p, const ptrdiff_t *k_degree,
                                const ptrdiff_t *m_degree, size_t bytes, char **memory)
{
    size_t index_bytes = rounded_up((size_t)(p->K > p->M ? p->K : p->M) * sizeof(ptrdiff_t));
    char *scratch = *memory = memory_get(4 * index_bytes + bytes);
    if (scratch == NULL)
        return NULL;
    p->k_index = take(&scratch, index_bytes);
    p->m_index = take(&scratch, index_bytes);
    p->low = take(&scratch, index_bytes);
    p->high = take(&scratch, index_bytes);
    p->k_order = sort_by_degree(p->K, k_degree, p->k_index);
    p->m_in_place = sort_by_degree(p->M, m_degree, p->m_index);
    return p->k_order < 0 || p->m_in_place < 0 ? NULL : scratch;
}

/* A copy of a matrix (N, K) with its columns sorted. */
struct NAME(sorting) {
    ptrdiff_t N, K;
    const ptrdiff_t *index;
    const real *a;
    real *sorted;
};

static void NAME(sort_rows)(void *context, ptrdiff_t task, int slot)
{
    const struct NAME(sorting) *q = context;
    (void)slot;
    for (ptrdiff_t n = task * LIST_ROWS; n < q->N && n < (task + 1) * LIST_ROWS; n++)
        for (ptrdiff_t k = 0; k < q->K; k++)
            q->sorted[n * q->K + k] = q->a[n * q->K + q->index[k]];
}

static const real *NAME(sorted_copy)(ptrdiff_t N, ptrdiff_t K, const real *a,
                                     const ptrdiff_t *index, real *room, int threads)
{
    struct NAME(sorting) q = {.N = N, .K = K, .index = index, .a = a, .sorted = room};
    run_tasks(threads, (N + LIST_ROWS - 1) / LIST_ROWS, NAME(sort_rows), &q);
    return room;
}

/* Copy B[k0:k1, m0:m0+width] into a panel whose rows are PANEL long. */
static void NAME(copy_panel)(const struct NAME(product) *p, ptrdiff_t m0, ptrdiff_t width,
                             ptrdiff_t k0, ptrdiff_t k1, real *panel)
{
    const real *B = p->b, *end = B + p->K * p->M;
    const ptrdiff_t *k_index = p->k_index, *m_index = p->m_index + m0;
    ptrdiff_t k = k0, backwards = p->k_order < 0;
    for (; p->m_are_columns && k < k1; k++) { /* row by row */
        real *to = panel + (k - k0) * PANEL;
        const real *from = B + k_index[k] * p->M;
        if (k + ROWS_AHEAD < k1)
            fetch_units(B + k_index[k + ROWS_AHEAD] * p->M + m0, PANEL_VECS);
        if (p->m_in_place)
            for (ptrdiff_t v = 0; v < PANEL; v += LANES)
                v_store(to + v, load_some(from + m0 + v, width - v, end));
        else
            for (ptrdiff_t m = 0; m < PANEL; m++)
                to[m] = m < width ? from[m_index[m]] : 0;
    }
    for (; p->k_order != 0 && k + LANES <= k1; k += LANES) /* columns, in transposed squares */
        for (ptrdiff_t v = 0; v < PANEL; v += LANES) {
            const real *from = B + (backwards ? p->K - k - LANES : k);
            vec r[LANES];
            for (int m = 0; m < LANES; m++) {
                const real *row = from + m_index[v + m < width ? v + m : 0] * p->K;
                PREFETCH(row + 2 * LANES * p->k_order);
                r[m] = v_load(row);
            }
            v_transpose(r);
            for (int i = 0; i < LANES; i++)
                v_store(panel + (k - k0 + (backwards ? LANES - 1 - i : i)) * PANEL + v, r[i]);
        }
    for (ptrdiff_t m = 0; k < k1 && m < PANEL; m++) /* columns, one by one */
        for (ptrdiff_t i = k; i < k1; i++)
            panel[(i - k0) * PANEL + m] = m < width ? B[m_index[m] * p->K + k_index[i]] : 0;
}

/* Write zeros to the panel where it is masked: whatever stands there changes nothing. */
static void NAME(mask_panel)(const struct NAME(product) *p, ptrdiff_t m0, ptrdiff_t width,
                             ptrdiff_t k0, ptrdiff_t k1, real *panel)
{
    const ptrdiff_t *high = p->high + m0;
    int growing = high[0] <= high[width - 1];
    ptrdiff_t edge = growing ? high[0] : high[width - 1]; /* from this k on not all are free */
    ptrdiff_t free = width;                               /* so many are */
    for (ptrdiff_t k = edge > k0 ? edge : k0; k < k1; k++) {
        real *row = panel + (k - k0) * PANEL;
        while (free > 0 && high[growing ? width - free : free - 1] <= k)
            free--;
        if (growing)
            memset(row, 0, (size_t)(width - free) * sizeof(real));
        else
            memset(row + free, 0, (size_t)(width - free) * sizeof(real));
    }
}

/* Add to sum (rows, .) of a panel the product of a (rows, depth) and the panel (depth, .), for
 * TILE_VECS vecs of them; the first time the sum is 0. `a_step` is from one k to the next, `a_row`
 * from row to row. */
INLINE void NAME(add_tile)(const int rows, ptrdiff_t depth, const real *a, ptrdiff_t a_row,
                           ptrdiff_t a_step, const real *panel, real *sum, int first)
{
    vec s[ROWS_AT_ONCE][TILE_VECS];
    UNROLL
    for (int n = 0; n < rows; n++)
        UNROLL
        for (int v = 0; v < TILE_VECS; v++)
            s[n][v] = first ? v_set(0) : v_load(sum + n * PANEL + v * LANES);
    for (ptrdiff_t k = 0; k < depth; k++) {
        vec b[TILE_VECS];
        UNROLL
        for (int v = 0; v < TILE_VECS; v++)
            b[v] = v_load(panel + k * PANEL + v * LANES);
        UNROLL
        for (int n = 0; n < rows; n++) {
            real a_nk = a[n * a_row + k * a_step];
            UNROLL
            for (int v = 0; v < TILE_VECS; v++)
                s[n][v] += a_nk * b[v];
        }
    }
    UNROLL
    for (int n = 0; n < rows; n++)
        UNROLL
        for (int v = 0; v < TILE_VECS; v++)
            v_store(sum + n * PANEL + v * LANES, s[n][v]);
}

/* The same for any number of rows. Where one of a's steps is 1 the compiler shall know it. */
NOINLINE void NAME(add_tiles)(ptrdiff_t rows, ptrdiff_t depth, const real *a, ptrdiff_t a_row,
                              ptrdiff_t a_step, const real *panel, real *sum, int first)
{
    while (rows > 0) {
        int some = rows >= ROWS_AT_ONCE ? ROWS_AT_ONCE : rows >= 4 ? 4 : 1;
        if (some == ROWS_AT_ONCE && a_row == 1)
            NAME(add_tile)(ROWS_AT_ONCE, depth, a, 1, a_step, panel, sum, first);
        else if (some == ROWS_AT_ONCE)
            NAME(add_tile)(ROWS_AT_ONCE, depth, a, a_row, a_step, panel, sum, first);
        else if (some == 4)
            NAME(add_tile)(4, depth, a, a_row, a_step, panel, sum, first);
        else
            NAME(add_tile)(1, depth, a, a_row, a_step, panel, sum, first);
        rows -= some;
        a += some * a_row;
        sum += some * PANEL;
    }
}

/* Multiply what is listed of a row of a, up to k1, with the rows of a panel, of which the first
 * belongs to k0. `a_step` is from one k to the next. Returns where in the list to go on. */
INLINE const uint16_t *NAME(add_listed)(const uint16_t *list, ptrdiff_t k0, ptrdiff_t k1,
                                        const real *a, ptrdiff_t a_step, const real *panel,
                                        real *sum, const int first)
{
    vec s[PANEL_VECS];
    UNROLL
    for (int v = 0; v < PANEL_VECS; v++)
        s[v] = first ? v_set(0) : v_load(sum + v * LANES);
    for (; *list < k1; list++) {
        const real *b = panel + (*list - k0) * PANEL;
        real a_k = a[*list * a_step];
        UNROLL
        for (int v = 0; v < PANEL_VECS; v++)
            s[v] += a_k * v_load(b + v * LANES);
    }
    UNROLL
    for (int v = 0; v < PANEL_VECS; v++)
        v_store(sum + v * LANES, s[v]);
    return list;
}

/* Whether the bits of ZEROS_AT_ONCE numbers are all 0. */
INLINE int NAME(all_zero)(const real *a)
{
    uint64_t words[ZEROS_AT_ONCE * sizeof(real) / 8], any = 0;
    memcpy(words, a, sizeof words);
    for (size_t i = 0; i < sizeof words / 8; i++)
        any |= words[i];
    return any == 0;
}

/* Of some rows, list where they are not 0. */
static void NAME(list_rows)(void *context, ptrdiff_t task, int slot)
{
    struct NAME(product) *p = context;
    ptrdiff_t K = p->K;
    (void)slot;
    for (ptrdiff_t n = task * LIST_ROWS; n < p->N && n < (task + 1) * LIST_ROWS; n++) {
        const real *a = p->a + n * K;
        uint16_t *list = p->list + n * (K + 1);
        ptrdiff_t count = 0;
        for (ptrdiff_t k0 = 0; k0 < K; k0 += ZEROS_AT_ONCE) {
            ptrdiff_t k1 = k0 + ZEROS_AT_ONCE < K ? k0 + ZEROS_AT_ONCE : K;
            if (k1 == k0 + ZEROS_AT_ONCE && NAME(all_zero)(a + (p->a_step > 0 ? k0 : 1 - k1)))
                continue;
            for (ptrdiff_t k = k0; k < k1; k++) {
                integer bits;
                memcpy(&bits, a + k * p->a_step, sizeof bits);
                list[count] = (uint16_t)k; /* stays only if it is counted */
                count += (integer)(bits << 1) != 0; /* -0 is 0 */
            }
        }
        list[count] = END;
    }
}

/* LANES numbers of a row of the result, or of something shaped like it, from the sorted m on. */
INLINE vec NAME(load_sorted)(const struct NAME(product) *p, const real *row, ptrdiff_t m,
                             ptrdiff_t left)
{
    real some[LANES] = {0};
    if (p->m_in_place)
        return load_some(row + m, left, row + p->M);
    for (ptrdiff_t i = 0; i < LANES && i < left; i++)
        some[i] = row[p->m_index[m + i]];
    return v_load(some);
}

INLINE void NAME(store_sorted)(const struct NAME(product) *p, real *row, ptrdiff_t m,
                               ptrdiff_t left, vec value)
{
    real some[LANES];
    if (p->m_in_place) {
        store_some(row + m, value, left);
        return;
    }
    v_store(some, value);
    for (ptrdiff_t i = 0; i < LANES && i < left; i++)
        row[p->m_index[m + i]] = some[i];
}

/* What becomes of the sums s of some rows of a panel:
 *
 *     forward     g(s + bias) keep, the hidden units, or without g the sum; s may be added to what
 *                 the result holds
 *     backward    s keep g'(a), where h = g(a) keep are the hidden units; and its sum over the rows
 */
INLINE void NAME(finish_rows)(const struct NAME(product) *p, ptrdiff_t n0, ptrdiff_t rows,
                              ptrdiff_t m0, ptrdiff_t width, const real *sum, const int hidden)
{
    for (ptrdiff_t v = 0; v < width; v += LANES) {
        ptrdiff_t m = m0 + v, left = width - v;
        vec bias = p->bias ? NAME(load_sorted)(p, p->bias, m, left) : v_set(0), total = v_set(0);
        for (ptrdiff_t n = 0; n < rows; n++) {
            ptrdiff_t row = (n0 + n) * p->M;
            vec s = v_load(sum + n * PANEL + v), keep = v_set(1);
            if (p->keep)
                keep = NAME(load_sorted)(p, p->keep + row, m, left);
            if (p->backward && hidden != LINEAR) {
                vec g = NAME(load_sorted)(p, p->h + row, m, left);
                if (p->keep) /* where it is 0 nothing passes */
                    g = v_if_less(v_set(0), v_abs(keep), g / keep, v_set(0));
                s = s * keep * (hidden == SIGMOID ? g * (1 - g)
                              : hidden == TANH    ? 1 - g * g
                                                  : v_if_less(v_set(0), g, v_set(1), v_set(0)));
                total += s;
            } else {
                s += bias;
                if (p->add)
                    s += NAME(load_sorted)(p, p->out + row, m, left);
                if (hidden != LINEAR)
                    s = activate(s, hidden) * keep;
            }
            NAME(store_sorted)(p, p->out + row, m, left, s);
        }
        if (p->totals)
            store_some(p->totals + n0 / PRODUCT_ROWS * p->M + m, total, left);
    }
}

static void NAME(product_task)(void *context, ptrdiff_t task, int slot)
{
    const struct NAME(product) *p = context;
    /* The panels with most to do come first. */
    ptrdiff_t number = task / p->n_row_blocks;
    int growing = p->high[p->M - 1] > p->high[0];
    ptrdiff_t m0 = (growing ? p->n_panels - 1 - number : number) * PANEL;
    ptrdiff_t width = p->M - m0 < PANEL ? p->M - m0 : PANEL;
    ptrdiff_t n0 = task % p->n_row_blocks * PRODUCT_ROWS;
    ptrdiff_t rows = p->N - n0 < PRODUCT_ROWS ? p->N - n0 : PRODUCT_ROWS;
    char *scratch = p->slots + (size_t)slot * p->slot_bytes;
    real *panel = take(&scratch, PRODUCT_DEPTH * PANEL * sizeof(real));
    real *sum = take(&scratch, PRODUCT_ROWS * PANEL * sizeof(real));
    const uint16_t **at = take(&scratch, PRODUCT_ROWS * sizeof *at); /* where we are in each list */
    ptrdiff_t all = p->high[growing ? m0 + width - 1 : m0];

    for (ptrdiff_t n = 0; p->list && n < rows; n++)
        at[n] = p->list + (n0 + n) * (p->K + 1);
    memset(sum, 0, (size_t)(rows * PANEL) * sizeof(real));
    for (ptrdiff_t k0 = 0; k0 < all; k0 += PRODUCT_DEPTH) {
        ptrdiff_t k1 = k0 + PRODUCT_DEPTH < all ? k0 + PRODUCT_DEPTH : all;
        NAME(copy_panel)(p, m0, width, k0, k1, panel);
        NAME(mask_panel)(p, m0, width, k0, k1, panel);
        for (ptrdiff_t n = 0; p->list && n < rows; n++) {
            const real *a = p->a + (n0 + n) * p->K;
            PREFETCH(at[n + ROWS_AHEAD < rows ? n + ROWS_AHEAD : n]); /* from another core, perhaps */
            at[n] = p->a_step > 0
                      ? NAME(add_listed)(at[n], k0, k1, a, 1, panel, sum + n * PANEL, 0)
                      : NAME(add_listed)(at[n], k0, k1, a, -1, panel, sum + n * PANEL, 0);
        }
        for (ptrdiff_t v = 0; !p->list && v < width; v += TILE_VECS * LANES) {
            ptrdiff_t last = v + TILE_VECS * LANES < width ? v + TILE_VECS * LANES - 1 : width - 1;
            ptrdiff_t high = p->high[m0 + (growing ? last : v)];
            if (high > k0)
                NAME(add_tiles)(rows, (high < k1 ? high : k1) - k0,
                                p->a + n0 * p->K + k0 * p->a_step, p->K, p->a_step, panel + v,
                                sum + v, 0);
        }
    }
    if (p->hidden == LINEAR)
        NAME(finish_rows)(p, n0, rows, m0, width, sum, LINEAR);
    else if (p->hidden == RELU)
        NAME(finish_rows)(p, n0, rows, m0, width, sum, RELU);
    else if (p->hidden == SIGMOID)
        NAME(finish_rows)(p, n0, rows, m0, width, sum, SIGMOID);
    else
        NAME(finish_rows)(p, n0, rows, m0, width, sum, TANH);
}

/* out (N, targets) = a (N, sources) B, or, backward, out (N, sources) = a (N, targets) B^T. */
static int NAME(masked_product)(const struct masked *q, int backward)
{
    const ptrdiff_t *k_degree = backward ? q->targets : q->sources;
    const ptrdiff_t *m_degree = backward ? q->sources : q->targets;
    struct NAME(product) p = {
        .N = q->N, .K = backward ? q->n_targets : q->n_sources,
        .M = backward ? q->n_sources : q->n_targets,
        .a = q->a, .b = q->b, .m_are_columns = backward == q->transposed,
        .hidden = q->hidden, .backward = backward, .bias = q->bias, .h = q->h, .keep = q->keep,
        .add = q->add, .out = q->out,
    };
    p.n_panels = (p.M + PANEL - 1) / PANEL;
    p.n_row_blocks = (p.N + PRODUCT_ROWS - 1) / PRODUCT_ROWS;
    p.slot_bytes = rounded_up((size_t)(PRODUCT_DEPTH + PRODUCT_ROWS) * PANEL * sizeof(real)
                              + PRODUCT_ROWS * sizeof(void *) + 3 * 64);
    int threads = threads_for((double)p.N * (double)p.K * (double)p.M / 8);
    int sparse = NAME(is_sparse)(p.N, p.K, p.a), status = -1;
    size_t list_bytes = sparse ? rounded_up((size_t)(p.N * (p.K + 1)) * sizeof *p.list) : 0;
    size_t sorted_bytes = rounded_up((size_t)(p.N * p.K) * sizeof(real));
    size_t totals_bytes = rounded_up((size_t)(p.n_row_blocks * p.M) * sizeof(real));
    char *memory, *scratch = NAME(product_plan)(
        &p, k_degree, m_degree,
        list_bytes + sorted_bytes + totals_bytes + (size_t)threads * p.slot_bytes, &memory);
    if (scratch != NULL) {
        for (ptrdiff_t m = 0; m < p.M; m++) {
            ptrdiff_t limit = m_degree[p.m_index[m]] + !backward;
            ptrdiff_t below = n_below(p.K, k_degree, p.k_index, limit);
            p.high[m] = backward ? p.K - below : below;
        }
        if (backward) { /* the highest degrees first */
            reverse(p.K, p.k_index);
            p.k_order = -p.k_order;
        }
        real *sorted = take(&scratch, sorted_bytes), *totals = take(&scratch, totals_bytes);
        p.list = sparse ? take(&scratch, list_bytes) : NULL;
        p.totals = q->totals ? totals : NULL;
        p.slots = scratch;
        if (p.k_order == 0)
            p.a = NAME(sorted_copy)(p.N, p.K, p.a, p.k_index, sorted, threads);
        p.a_step = p.k_order < 0 ? -1 : 1;
        p.a += p.k_order < 0 ? p.K - 1 : 0;
        if (sparse)
            run_tasks(threads, (p.N + LIST_ROWS - 1) / LIST_ROWS, NAME(list_rows), &p);
        run_tasks(threads, p.n_panels * p.n_row_blocks, NAME(product_task), &p);
        for (ptrdiff_t m = 0; p.totals && m < p.M; m++) {
            real total = 0;
            for (ptrdiff_t block = 0; block < p.n_row_blocks; block++)
                total += totals[block * p.M + m];
            ((real *)q->totals)[p.m_index[m]] = total;
        }
        status = 0;
    }
    memory_put(memory);
    return status;
}

static int NAME(masked_forward)(const struct masked *q) { return NAME(masked_product)(q, 0); }
static int NAME(masked_backward)(const struct masked *q) { return NAME(masked_product)(q, 1); }

/* Of some columns, list in which rows they are not 0. */
static void NAME(list_columns)(void *context, ptrdiff_t task, int slot)
{
    struct NAME(product) *p = context;
    ptrdiff_t N = p->N, K = p->K, k0 = task * LIST_COLUMNS;
    ptrdiff_t n_columns = K - k0 < LIST_COLUMNS ? K - k0 : LIST_COLUMNS;
    ptrdiff_t count[LIST_COLUMNS] = {0};
    (void)slot;
    for (ptrdiff_t n0 = 0; n0 < N; n0 += 32) {
        uint32_t nonzero[LIST_COLUMNS] = {0}; /* bit n: of the nth row */
        for (ptrdiff_t n = n0; n < N && n < n0 + 32; n++) {
            const real *row = p->a + n * K + k0;
            if (n_columns == LIST_COLUMNS)
                for (ptrdiff_t k = 0; k < LIST_COLUMNS; k++)
                    nonzero[k] |= (uint32_t)(row[k] != 0) << (n - n0);
            else
                for (ptrdiff_t k = 0; k < n_columns; k++)
                    nonzero[k] |= (uint32_t)(row[k] != 0) << (n - n0);
        }
        for (ptrdiff_t k = 0; k < n_columns; k++)
            for (uint32_t left = nonzero[k]; left; left &= left - 1) {
                ptrdiff_t n = n0 + LOWEST_BIT(left), place = (k0 + k) * (N + 1) + count[k]++;
                p->list[place] = (uint16_t)n;
            }
    }
    for (ptrdiff_t k = 0; k < n_columns; k++)
        p->list[(k0 + k) * (N + 1) + count[k]] = END;
}

/* Write zeros to what is masked of row k, if its edge is in this panel: all of it in one go. */
static void NAME(store_zeros)(const struct NAME(product) *p, ptrdiff_t k, ptrdiff_t m0,
                              ptrdiff_t width)
{
    ptrdiff_t low = p->low[k], high = p->high[k];
    ptrdiff_t from = high >= m0 && high < m0 + width ? high : p->M;
    ptrdiff_t upto = low > m0 && low <= m0 + width ? low : 0;
    real *to = p->out + p->k_index[k] * p->M;
    if (p->m_in_place) {
        if (upto > 0) /* calls cost */
            memset(to, 0, (size_t)upto * sizeof(real));
        if (from < p->M)
            memset(to + from, 0, (size_t)(p->M - from) * sizeof(real));
        return;
    }
    for (ptrdiff_t m = 0; m < upto; m++)
        to[p->m_index[m]] = 0;
    for (ptrdiff_t m = from; m < p->M; m++)
        to[p->m_index[m]] = 0;
}

/* Write what is free of row k in this panel. */
static void NAME(store_free)(const struct NAME(product) *p, ptrdiff_t k, ptrdiff_t m0,
                             ptrdiff_t width, const real *sum)
{
    real *to = p->out + p->k_index[k] * p->M;
    ptrdiff_t from = p->low[k] > m0 ? p->low[k] : m0;
    ptrdiff_t upto = p->high[k] < m0 + width ? p->high[k] : m0 + width;
    if (p->m_in_place && upto - from == PANEL)
        for (int v = 0; v < PANEL_VECS; v++)
            v_store(to + m0 + v * LANES, v_load(sum + v * LANES));
    else
        for (ptrdiff_t m = from; m < upto; m++)
            to[p->m_in_place ? m : p->m_index[m]] = sum[m - m0];
}

/* Write rows of a panel, LANES of them or fewer, to where they are columns. */
static void NAME(store_turned)(const struct NAME(product) *p, ptrdiff_t k0, ptrdiff_t rows,
                               ptrdiff_t m0, ptrdiff_t width, real *sum)
{
    int any = 0; /* whether something is free */
    for (ptrdiff_t k = 0; k < LANES; k++) {
        ptrdiff_t masked = k < rows ? p->low[k0 + k] - m0 : width;
        any = any || masked < width;
        if (masked > 0)
            memset(sum + k * PANEL, 0, (size_t)(masked < width ? masked : width) * sizeof(real));
    }
    for (ptrdiff_t v = 0; v < width; v += LANES) {
        vec r[LANES];
        UNROLL
        for (int k = 0; k < LANES; k++)
            r[k] = v_load(sum + k * PANEL + v);
        if (any)
            v_transpose(r);
        for (int i = 0; i < LANES && v + i < width; i++)
            store_some(p->out + p->m_index[m0 + v + i] * p->K + k0, r[i], rows);
    }
}

/* A panel of the gradient, for a block of its rows k. */
static void NAME(outer_task)(void *context, ptrdiff_t task, int slot)
{
    const struct NAME(product) *p = context;
    ptrdiff_t N = p->N, m0 = task / p->n_row_blocks * PANEL;
    ptrdiff_t width = p->M - m0 < PANEL ? p->M - m0 : PANEL;
    ptrdiff_t begin = task % p->n_row_blocks * PRODUCT_ROWS;
    ptrdiff_t end = begin + PRODUCT_ROWS < p->K ? begin + PRODUCT_ROWS : p->K;
    ptrdiff_t group = p->list ? LANES : ROWS_AT_ONCE;
    char *scratch = p->slots + (size_t)slot * p->slot_bytes;
    real *panel = take(&scratch, (size_t)(N * PANEL) * sizeof(real));
    real *sum = take(&scratch, (size_t)((group + 1) * PANEL) * sizeof(real));

    int direct = p->list && !p->turned && p->m_in_place && width == PANEL; /* can be written */
    int any = 0; /* whether something is free here */
    for (ptrdiff_t k = begin; k < end; k++) {
        any = any || (p->low[k] < m0 + width && p->high[k] > m0);
        if (!p->turned)
            NAME(store_zeros)(p, k, m0, width);
    }
    for (ptrdiff_t n = 0; any && n < N; n++)
        for (ptrdiff_t v = 0; v < PANEL; v += LANES)
            v_store(panel + n * PANEL + v,
                    load_some(p->b + n * p->M + m0 + v, width - v, p->b + N * p->M));
    for (ptrdiff_t k0 = begin; k0 < end; k0 += group) {
        ptrdiff_t rows = end - k0 < group ? end - k0 : group;
        for (ptrdiff_t k = k0; k < k0 + rows && !p->turned; k++)
            if (p->low[k] <= m0 && p->high[k] >= m0 + width) /* there it will write */
                fetch_units(p->out + p->k_index[k] * p->M + m0, PANEL_VECS);
        for (ptrdiff_t v = 0; !p->list && v < width; v += TILE_VECS * LANES)
            if (p->low[k0] < m0 + v + TILE_VECS * LANES && p->high[k0 + rows - 1] > m0 + v)
                NAME(add_tiles)(rows, N, p->a + k0, 1, p->K, panel + v, sum + v, 1);
        for (ptrdiff_t k = k0; k < k0 + rows; k++) {
            real *to = sum + (k - k0) * PANEL;
            int in_place = direct && p->low[k] <= m0;
            if (in_place)
                to = p->out + k * p->M + m0;
            if (p->list && p->low[k] < m0 + width)
                NAME(add_listed)(p->list + k * (N + 1), 0, N, p->a + k, p->K, panel, to, 1);
            if (!in_place && !p->turned)
                NAME(store_free)(p, k, m0, width, to);
        }
        if (p->turned)
            NAME(store_turned)(p, k0, rows, m0, width, sum);
    }
}

/* The gradient of B from a (N, sources) and b (N, targets): out has the shape of B.
 *
 * If a is sparse, its columns are listed and taken one by one, so they need not be sorted; however
 * B is stored, k are the sources then. */
static int NAME(masked_outer)(const struct masked *q)
{
    int sparse = NAME(is_sparse)(q->N, q->n_sources, q->a);
    int k_are_sources = sparse || !q->transposed;
    const ptrdiff_t *k_degree = k_are_sources ? q->sources : q->targets;
    const ptrdiff_t *m_degree = k_are_sources ? q->targets : q->sources;
    struct NAME(product) p = {
        .N = q->N, .K = k_are_sources ? q->n_sources : q->n_targets,
        .M = k_are_sources ? q->n_targets : q->n_sources,
        .a = k_are_sources ? q->a : q->b, .b = k_are_sources ? q->b : q->a,
        .turned = sparse && q->transposed, .out = q->out,
    };
    p.n_panels = (p.M + PANEL - 1) / PANEL;
    p.n_row_blocks = (p.K + PRODUCT_ROWS - 1) / PRODUCT_ROWS;
    p.slot_bytes = rounded_up((size_t)(p.N + 17) * PANEL * sizeof(real) + 2 * 64);
    int threads = threads_for((double)p.N * (double)p.K * (double)p.M / 8), status = -1;
    size_t list_bytes = sparse ? rounded_up((size_t)((p.N + 1) * p.K) * sizeof *p.list) : 0;
    size_t sorted_a_bytes = sparse ? 0 : rounded_up((size_t)(p.N * p.K) * sizeof(real));
    size_t sorted_b_bytes = rounded_up((size_t)(p.N * p.M) * sizeof(real));
    char *memory, *scratch = NAME(product_plan)(
        &p, k_degree, m_degree,
        list_bytes + sorted_a_bytes + sorted_b_bytes + (size_t)threads * p.slot_bytes, &memory);
    if (scratch != NULL) {
        p.list = sparse ? take(&scratch, list_bytes) : NULL;
        real *sorted_a = take(&scratch, sorted_a_bytes);
        real *sorted_b = take(&scratch, sorted_b_bytes);
        p.slots = scratch;
        for (ptrdiff_t k = 0; k < p.K; k++) {
            if (sparse)
                p.k_index[k] = k;
            ptrdiff_t degree = k_degree[p.k_index[k]];
            p.low[k] = k_are_sources ? n_below(p.M, m_degree, p.m_index, degree) : 0;
            p.high[k] = k_are_sources ? p.M : n_below(p.M, m_degree, p.m_index, degree + 1);
        }
        if (sparse)
            run_tasks(threads, (p.K + LIST_COLUMNS - 1) / LIST_COLUMNS, NAME(list_columns), &p);
        else if (p.k_order == 0)
            p.a = NAME(sorted_copy)(p.N, p.K, p.a, p.k_index, sorted_a, threads);
        if (!p.m_in_place)
            p.b = NAME(sorted_copy)(p.N, p.M, p.b, p.m_index, sorted_b, threads);
        run_tasks(threads, p.n_panels * p.n_row_blocks, NAME(outer_task), &p);
        status = 0;
    }
    memory_put(memory);
    return status;
}

#undef END
#undef PANEL_VECS
#undef PANEL
#undef TILE_VECS
#undef ROWS_AHEAD
#undef ROWS_AT_ONCE
