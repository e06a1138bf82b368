/* Products with masked matrices: the layers of MADE.
 *
 * A weight from a source of degree s to a target of degree t is free where s <= t. With sources and
 * targets sorted by degree the free weights are a staircase, and only they are multiplied:
 *
 *     forward    out[n, t] = sum over the first `high[t]` sources s of h[n, s] B[s, t]
 *     backward   out[n, s] = sum over the targets t from `low[s]` on of d[n, t] B[s, t]
 *     outer      out[s, t] = sum over n of h[n, s] d[n, t] where free, 0 elsewhere
 *
 * B may also be stored the other way round, as (targets, sources). For the first two this is one
 * kernel: outputs m, each with its range low[m]..high[m] of the inner index k.
 *
 * The outputs are cut into panels of a few vecs. A task copies its panel of B into contiguous
 * memory, a block of k at a time, with zeros where it is masked; then, a few rows of the batch at a
 * time, the sums of rows times panel stay in registers while k runs. Every sum is in the order of k,
 * so a row's result depends neither on the other rows nor on the threads.
 */

#define PANEL (PANEL_VECS * LANES)
#define ROWS_AT_ONCE (VECTOR_BYTES == 64 ? 12 : 6) /* with the panel, as many as registers hold */

/* Sort by degree, stably: index[k] is the place of the k-th. Returns 1 if nothing moves, 0 if
 * something does, -1 without memory. */
#ifndef SORT_BY_DEGREE
#define SORT_BY_DEGREE
static int sort_by_degree(ptrdiff_t n, const ptrdiff_t *degree, ptrdiff_t *index)
{
    ptrdiff_t low = degree[0], high = degree[0], moved = 0;
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
#endif

/* What the three kernels share. For the gradient of the weights, outputs m are the columns of the
 * matrix and "k" its rows, each with a range low[k]..high[k] of the sorted columns. */
struct NAME(product) {
    ptrdiff_t N, K, M;
    ptrdiff_t n_panels, n_row_blocks;
    const real *a;                /* (N, K), its columns sorted */
    const real *B;
    ptrdiff_t k_stride, m_stride; /* of B */
    ptrdiff_t *k_index, *m_index; /* where the sorted k and m are */
    int k_in_place, m_in_place;   /* whether they are sorted as they are */
    ptrdiff_t *low, *high;
    real *out;
    char *slots;
    size_t slot_bytes;
};

/* Get the scratch memory, sort, and find the ranges: of every m in k, or of every k in m. */
static int NAME(product_plan)(struct NAME(product) *p, const ptrdiff_t *k_degree,
                              const ptrdiff_t *m_degree, int ranges_of_m, int k_are_sources,
                              int threads, void **to_free)
{
    size_t sorted_bytes = rounded_up((size_t)(p->N * p->K) * sizeof(real));
    size_t index_bytes = rounded_up((size_t)(p->K > p->M ? p->K : p->M) * sizeof(ptrdiff_t));
    char *scratch = scratch_get(4 * index_bytes + sorted_bytes + (size_t)threads * p->slot_bytes,
                                to_free);
    if (scratch == NULL)
        return -1;
    p->k_index = take(&scratch, index_bytes);
    p->m_index = take(&scratch, index_bytes);
    p->low = take(&scratch, index_bytes);
    p->high = take(&scratch, index_bytes);
    p->k_in_place = sort_by_degree(p->K, k_degree, p->k_index);
    p->m_in_place = sort_by_degree(p->M, m_degree, p->m_index);
    if (p->k_in_place < 0 || p->m_in_place < 0)
        return -1;

    ptrdiff_t n_ranges = ranges_of_m ? p->M : p->K, n_inner = ranges_of_m ? p->K : p->M;
    const ptrdiff_t *degree = ranges_of_m ? m_degree : k_degree;
    const ptrdiff_t *index = ranges_of_m ? p->m_index : p->k_index;
    const ptrdiff_t *inner = ranges_of_m ? k_degree : m_degree;
    const ptrdiff_t *inner_index = ranges_of_m ? p->k_index : p->m_index;
    int from_start = ranges_of_m == k_are_sources; /* whether the inner ones are sources */
    for (ptrdiff_t m = 0, k = 0; m < n_ranges; m++) {
        ptrdiff_t d = degree[index[m]];
        while (k < n_inner && inner[inner_index[k]] < d + from_start)
            k++;
        p->low[m] = from_start ? 0 : k;
        p->high[m] = from_start ? k : n_inner;
    }
    if (!p->k_in_place) {
        real *sorted = take(&scratch, sorted_bytes);
        for (ptrdiff_t n = 0; n < p->N; n++)
            for (ptrdiff_t k = 0; k < p->K; k++)
                sorted[n * p->K + k] = p->a[n * p->K + p->k_index[k]];
        p->a = sorted;
    }
    p->slots = scratch;
    return 0;
}

/* Copy B[k0:k1, m0:m0+width] into a panel whose rows are PANEL long, zeros where it is masked. */
static void NAME(pack_panel)(const struct NAME(product) *p, ptrdiff_t m0, ptrdiff_t width,
                             ptrdiff_t k0, ptrdiff_t k1, real *panel)
{
    const real *B = p->B, *end = B + p->K * p->M;
    ptrdiff_t low = p->low[m0 + width - 1], high = p->high[m0]; /* free for all m of the panel */
    for (ptrdiff_t k = k0; k < k1;) {
        real *to = panel + (k - k0) * PANEL;
        int whole = k >= low && k < high;
        if (whole && p->m_stride == 1 && p->m_in_place) { /* a row of B, as it lies */
            const real *from = B + p->k_index[k] * p->k_stride + m0;
            for (ptrdiff_t v = 0; v < PANEL; v += LANES)
                v_store(to + v, width - v >= LANES ? v_load(from + v)
                                : width - v > 0    ? v_load_part(from + v, width - v, end)
                                                   : v_set(0));
            k++;
        } else if (whole && p->k_stride == 1 && p->k_in_place && k + LANES <= high
                   && k + LANES <= k1) { /* LANES columns of each row of B, transposed */
            for (ptrdiff_t v = 0; v < PANEL; v += LANES) {
                vec r[LANES];
                for (int i = 0; i < LANES; i++)
                    r[i] = v + i < width ? v_load(B + p->m_index[m0 + v + i] * p->m_stride + k)
                                         : v_set(0);
                v_transpose(r);
                for (int i = 0; i < LANES; i++)
                    v_store(to + i * PANEL + v, r[i]);
            }
            k += LANES;
        } else { /* the edges of the staircase, and whatever lies scattered */
            for (ptrdiff_t i = 0; i < PANEL; i++) {
                ptrdiff_t m = m0 + i;
                to[i] = i < width && k >= p->low[m] && k < p->high[m]
                          ? B[p->k_index[k] * p->k_stride + p->m_index[m] * p->m_stride]
                          : 0;
            }
            k++;
        }
    }
}

/* Add to sum (rows, PANEL) the product of a (rows, depth) and panel (depth, PANEL). `a_step` is
 * from one k to the next, `a_stride` from row to row. */
INLINE void NAME(add_product)(const int rows, ptrdiff_t depth, const real *a, ptrdiff_t a_stride,
                              ptrdiff_t a_step, const real *panel, real *sum)
{
    vec s[ROWS_AT_ONCE][PANEL_VECS];
    UNROLL
    for (int n = 0; n < rows; n++)
        UNROLL
        for (int v = 0; v < PANEL_VECS; v++)
            s[n][v] = v_load(sum + n * PANEL + v * LANES);
    for (ptrdiff_t k = 0; k < depth; k++) {
        vec b[PANEL_VECS];
        UNROLL
        for (int v = 0; v < PANEL_VECS; v++)
            b[v] = v_load(panel + k * PANEL + v * LANES);
        UNROLL
        for (int n = 0; n < rows; n++) {
            real a_nk = a[n * a_stride + k * a_step];
            UNROLL
            for (int v = 0; v < PANEL_VECS; v++)
                s[n][v] += a_nk * b[v];
        }
    }
    UNROLL
    for (int n = 0; n < rows; n++)
        UNROLL
        for (int v = 0; v < PANEL_VECS; v++)
            v_store(sum + n * PANEL + v * LANES, s[n][v]);
}

/* The same for any number of rows. The two steps that a may take are told apart here, so that the
 * compiler knows one of them to be 1. */
NOINLINE void NAME(add_products)(ptrdiff_t rows, ptrdiff_t depth, const real *a, ptrdiff_t a_stride,
                                 ptrdiff_t a_step, const real *panel, real *sum)
{
    while (rows > 0) {
        int some = rows >= ROWS_AT_ONCE ? ROWS_AT_ONCE : rows >= 4 ? 4 : 1;
        if (some == ROWS_AT_ONCE && a_step == 1)
            NAME(add_product)(ROWS_AT_ONCE, depth, a, a_stride, 1, panel, sum);
        else if (some == ROWS_AT_ONCE)
            NAME(add_product)(ROWS_AT_ONCE, depth, a, 1, a_step, panel, sum);
        else if (some == 4)
            NAME(add_product)(4, depth, a, a_stride, a_step, panel, sum);
        else
            NAME(add_product)(1, depth, a, a_stride, a_step, panel, sum);
        rows -= some;
        a += some * a_stride;
        sum += some * PANEL;
    }
}

/* Write the first `width` of a panel's row to where they belong. */
INLINE void NAME(store_panel_row)(const struct NAME(product) *p, const real *from, ptrdiff_t width,
                                  ptrdiff_t m0, real *to)
{
    if (p->m_in_place)
        memcpy(to + m0, from, (size_t)width * sizeof(real));
    else
        for (ptrdiff_t i = 0; i < width; i++)
            to[p->m_index[m0 + i]] = from[i];
}

static void NAME(product_task)(void *context, ptrdiff_t task, int slot)
{
    const struct NAME(product) *p = context;
    /* The panels with most to do come first: the last ones, where the ranges grow with m. */
    ptrdiff_t number = task / p->n_row_blocks;
    int growing = p->high[p->M - 1] > p->high[0];
    ptrdiff_t m0 = (growing ? p->n_panels - 1 - number : number) * PANEL;
    ptrdiff_t width = p->M - m0 < PANEL ? p->M - m0 : PANEL;
    ptrdiff_t n0 = task % p->n_row_blocks * PRODUCT_ROWS;
    ptrdiff_t rows = p->N - n0 < PRODUCT_ROWS ? p->N - n0 : PRODUCT_ROWS;
    char *scratch = p->slots + (size_t)slot * p->slot_bytes;
    real *panel = take(&scratch, PRODUCT_DEPTH * PANEL * sizeof(real));
    real *sum = take(&scratch, PRODUCT_ROWS * PANEL * sizeof(real));
    ptrdiff_t low = p->low[m0], high = p->high[m0 + width - 1]; /* free for some m of the panel */

    memset(sum, 0, (size_t)(rows * PANEL) * sizeof(real));
    for (ptrdiff_t k0 = low; k0 < high; k0 += PRODUCT_DEPTH) {
        ptrdiff_t k1 = k0 + PRODUCT_DEPTH < high ? k0 + PRODUCT_DEPTH : high;
        NAME(pack_panel)(p, m0, width, k0, k1, panel);
        NAME(add_products)(rows, k1 - k0, p->a + n0 * p->K + k0, p->K, 1, panel, sum);
    }
    for (ptrdiff_t n = 0; n < rows; n++)
        NAME(store_panel_row)(p, sum + n * PANEL, width, m0, p->out + (n0 + n) * p->M);
}

/* out (N, targets) = a (N, sources) B, or, backward, out (N, sources) = a (N, targets) B^T. */
static int NAME(masked_product)(const struct masked *q, int backward)
{
    struct NAME(product) p = {.N = q->N, .a = q->a, .B = q->b, .out = q->out};
    p.K = backward ? q->n_targets : q->n_sources;
    p.M = backward ? q->n_sources : q->n_targets;
    int m_are_columns = backward == q->transposed;
    p.k_stride = m_are_columns ? p.M : 1;
    p.m_stride = m_are_columns ? 1 : p.K;
    p.n_panels = (p.M + PANEL - 1) / PANEL;
    p.n_row_blocks = (p.N + PRODUCT_ROWS - 1) / PRODUCT_ROWS;
    p.slot_bytes = (size_t)(PRODUCT_DEPTH + PRODUCT_ROWS) * PANEL * sizeof(real) + 64;
    p.slot_bytes = rounded_up(p.slot_bytes);
    int threads = threads_for((double)p.N * (double)p.K * (double)p.M / 8);
    void *to_free;
    int status = NAME(product_plan)(&p, backward ? q->targets : q->sources,
                                    backward ? q->sources : q->targets, 1, !backward, threads,
                                    &to_free);
    if (status == 0)
        run_tasks(threads, p.n_panels * p.n_row_blocks, NAME(product_task), &p);
    free(to_free);
    return status;
}

static int NAME(masked_forward)(const struct masked *q) { return NAME(masked_product)(q, 0); }
static int NAME(masked_backward)(const struct masked *q) { return NAME(masked_product)(q, 1); }

/* A panel of columns of the gradient of the weights, for all rows. */
static void NAME(outer_task)(void *context, ptrdiff_t task, int slot)
{
    const struct NAME(product) *p = context;
    ptrdiff_t m0 = task * PANEL, width = p->M - m0 < PANEL ? p->M - m0 : PANEL;
    char *scratch = p->slots + (size_t)slot * p->slot_bytes;
    real *panel = take(&scratch, (size_t)(p->N * PANEL) * sizeof(real));
    real *sum = take(&scratch, ROWS_AT_ONCE * PANEL * sizeof(real));

    for (ptrdiff_t n = 0; n < p->N; n++)
        for (ptrdiff_t i = 0; i < PANEL; i++)
            panel[n * PANEL + i] = i < width ? p->B[n * p->M + p->m_index[m0 + i]] : 0;
    for (ptrdiff_t k0 = 0; k0 < p->K; k0 += ROWS_AT_ONCE) {
        ptrdiff_t rows = p->K - k0 < ROWS_AT_ONCE ? p->K - k0 : ROWS_AT_ONCE;
        int any = 0;
        for (ptrdiff_t k = k0; k < k0 + rows; k++)
            any = any || (p->low[k] < m0 + width && p->high[k] > m0);
        memset(sum, 0, (size_t)(rows * PANEL) * sizeof(real));
        if (any)
            NAME(add_products)(rows, p->N, p->a + k0, 1, p->K, panel, sum);
        for (ptrdiff_t k = k0; k < k0 + rows; k++) {
            real *row = sum + (k - k0) * PANEL;
            for (ptrdiff_t m = m0; m < p->low[k] && m < m0 + width; m++)
                row[m - m0] = 0;
            for (ptrdiff_t m = p->high[k] > m0 ? p->high[k] : m0; m < m0 + width; m++)
                row[m - m0] = 0;
            NAME(store_panel_row)(p, row, width, m0, p->out + p->k_index[k] * p->M);
        }
    }
}

/* The gradient of B from a (N, sources) and b (N, targets): out has the shape of B. */
static int NAME(masked_outer)(const struct masked *q)
{
    struct NAME(product) p = {.N = q->N, .out = q->out};
    p.K = q->transposed ? q->n_targets : q->n_sources; /* rows */
    p.M = q->transposed ? q->n_sources : q->n_targets; /* columns */
    p.a = q->transposed ? q->b : q->a;
    p.B = q->transposed ? q->a : q->b;
    p.n_panels = (p.M + PANEL - 1) / PANEL;
    p.slot_bytes = rounded_up((size_t)(p.N + ROWS_AT_ONCE) * PANEL * sizeof(real) + 64);
    int threads = threads_for((double)p.N * (double)p.K * (double)p.M / 8);
    void *to_free;
    int status = NAME(product_plan)(&p, q->transposed ? q->targets : q->sources,
                                    q->transposed ? q->sources : q->targets, 0, !q->transposed,
                                    threads, &to_free);
    if (status == 0)
        run_tasks(threads, p.n_panels, NAME(outer_task), &p);
    free(to_free);
    return status;
}

#undef PANEL
#undef ROWS_AT_ONCE
