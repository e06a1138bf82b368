/* NADE: logits, gradients and samples.
 *
 * The definition walks along the order with one activation a (N, H). Here the hidden units are cut
 * into blocks and the examples into tiles. For a tile and a block, the walk runs over the variables
 * i on the outside; inside, the block of V[i] stays in registers over the examples of the tile,
 * whose hidden units lie in the first-level cache. A variable that is 0 leaves the activation as
 * it was, so hidden units are computed only after an x that is not 0; until an example meets its
 * first one, its hidden units are g(c), and what depends on them only is computed once for all
 * such examples.
 *
 * Blocks and tiles depend on the sizes alone, and everything is added up in a fixed order.
 */

/* Copy `width` numbers and zeros into a buffer of n_vecs vecs. `end` is where p's array ends. */
#define copy_units NAME(copy_units)
NOINLINE void copy_units(real *buffer, const real *p, ptrdiff_t width, const real *end, int n_vecs)
{
    for (int k = 0; k < n_vecs; k++) {
        ptrdiff_t left = width - k * LANES;
        v_store(buffer + k * LANES, left >= LANES ? v_load(p + k * LANES)
                                  : left > 0      ? v_load_part(p + k * LANES, left, end)
                                                  : v_set(0));
    }
}

/* Load n_vecs (at most 8) vecs, of which `width` numbers exist; the others are zeros. */
#define load_units NAME(load_units)
INLINE void load_units(vec *v, const real *p, ptrdiff_t width, const real *end, const int n_vecs)
{
    real buffer[8 * LANES];
    if (width < n_vecs * LANES) {
        copy_units(buffer, p, width, end, n_vecs);
        p = buffer;
    }
    UNROLL
    for (int k = 0; k < n_vecs; k++)
        v[k] = v_load(p + k * LANES);
}

/* Store those of n_vecs vecs that exist. */
#define store_units NAME(store_units)
INLINE void store_units(real *p, const vec *v, ptrdiff_t width, const int n_vecs)
{
    real buffer[8 * LANES];
    real *to = width < n_vecs * LANES ? buffer : p;
    UNROLL
    for (int k = 0; k < n_vecs; k++)
        v_store(to + k * LANES, v[k]);
    if (width < n_vecs * LANES)
        memcpy(p, buffer, (size_t)width * sizeof(real));
}

/* Rows of W and V are far from each other, so the CPU does not guess which comes next: tell it. */
#define fetch_units NAME(fetch_units)
INLINE void fetch_units(const real *p, const int n_vecs)
{
    const int line = 64 / (int)sizeof(real);
    UNROLL
    for (int k = 0; k < n_vecs * LANES; k += line)
        PREFETCH(p + k);
}

#define activate NAME(activate)
INLINE vec activate(vec a, const int hidden)
{
    return hidden == SIGMOID ? v_sigmoid(a)
         : hidden == TANH    ? v_tanh(a)
                             : v_max(v_set(0), a);
}

/* g'(a) from h = g(a) */
#define slope NAME(slope)
INLINE vec slope(vec h, const int hidden)
{
    return hidden == SIGMOID ? h * (1 - h) : v_if_less(v_set(0), h, v_set(1), v_set(0));
}

/* sum_k v[k] w[k], not yet summed over the lanes */
#define dot NAME(dot)
INLINE vec dot(const vec *v, const vec *w, const int n_vecs)
{
    vec even = v[0] * w[0], odd = v[1] * w[1];
    UNROLL
    for (int k = 2; k < n_vecs; k += 2) {
        even += v[k] * w[k];
        odd += v[k + 1] * w[k + 1];
    }
    return even + odd;
}

#define nade_work NAME(nade_work)
struct nade_work {
    const struct nade *q;
    ptrdiff_t n_tiles, n_blocks;
    uint32_t *nonzero;  /* (n_tiles, D): of which examples x is not 0, by position; bit n: nth */
    real *partial;      /* logits: (n_tiles, n_blocks, D, TILE), by position */
    char *slots;        /* backward: scratch for each thread, */
    size_t slot_bytes;  /* so many bytes, */
    ptrdiff_t n_states; /* with so many states */
};

/* How many examples tile t has. */
INLINE int NAME(rows_of)(const struct nade *q, ptrdiff_t tile)
{
    return (int)(q->N - tile * TILE < TILE ? q->N - tile * TILE : TILE);
}

/* Mark in which examples of a tile each variable is not 0; nothing depends on the last one. */
static void NAME(mark_nonzero)(void *context, ptrdiff_t tile, int slot)
{
    const struct nade_work *work = context;
    const struct nade *q = work->q;
    ptrdiff_t D = q->D;
    uint32_t *nonzero = work->nonzero + tile * D;
    (void)slot;
    memset(nonzero, 0, (size_t)D * sizeof *nonzero);
    for (int n = 0; n < NAME(rows_of)(q, tile); n++) {
        const real *x = (const real *)q->x + (tile * TILE + n) * D;
        for (ptrdiff_t p = 0; p < D - 1; p++)
            nonzero[p] |= (uint32_t)(x[q->order[p]] != 0) << n;
    }
}

/* Logits. ------------------------------------------------------------------------------------- */

/* What one block of hidden units adds to the logits of one tile. */
INLINE void NAME(nade_logits_task)(struct nade_work *work, ptrdiff_t task, const int hidden)
{
    enum { VECS = FORWARD_VECS };
    const struct nade *q = work->q;
    ptrdiff_t D = q->D, H = q->H;
    ptrdiff_t tile = task % work->n_tiles, block = task / work->n_tiles;
    ptrdiff_t first = block * VECS * LANES, width = H - first; /* perhaps more than the block's */
    const real *W = (const real *)q->W + first, *W_end = (const real *)q->W + D * H;
    const real *V = (const real *)q->V + first, *V_end = (const real *)q->V + D * H;
    const real *x = (const real *)q->x + tile * TILE * D;
    const uint32_t *nonzero = work->nonzero + tile * D;
    real *partial = work->partial + (tile * work->n_blocks + block) * D * TILE;
    vec a[TILE][VECS], h[TILE][VECS], keep[TILE][VECS];
    vec h_start[VECS];
    uint32_t started = 0; /* the examples whose hidden units are no longer g(c) */

    load_units(h_start, (const real *)q->c + first, width, (const real *)q->c + H, VECS);
    for (int n = 0; n < TILE; n++)
        for (int k = 0; k < VECS; k++)
            a[n][k] = h_start[k];
    for (int k = 0; k < VECS; k++)
        h_start[k] = activate(h_start[k], hidden);
    if (q->keep) {
        const real *end = (const real *)q->keep + q->N * H;
        for (int n = 0; n < NAME(rows_of)(q, tile); n++) {
            load_units(keep[n], (const real *)q->keep + (tile * TILE + n) * H + first, width, end,
                       VECS);
            for (int k = 0; k < VECS; k++)
                h[n][k] = h_start[k] * keep[n][k];
            started |= (uint32_t)1 << n;
        }
    }

    for (ptrdiff_t p = 0; p < D; p++) {
        ptrdiff_t i = q->order[p];
        vec v[VECS], s[TILE];
        if (p + AHEAD < D) {
            fetch_units(V + q->order[p + AHEAD] * H, VECS);
            if (nonzero[p + AHEAD])
                fetch_units(W + q->order[p + AHEAD] * H, VECS);
        }
        load_units(v, V + i * H, width, V_end, VECS);
        vec s_start = dot(v, h_start, VECS);
        for (int n = 0; n < TILE; n++)
            s[n] = started >> n & 1 ? dot(v, h[n], VECS) : s_start;
        UNROLL
        for (int n = 0; n < TILE; n += LANES)
            v_store(partial + p * TILE + n, v_sums(s + n));

        if (nonzero[p]) {
            vec w[VECS];
            load_units(w, W + i * H, width, W_end, VECS);
            for (uint32_t rest = nonzero[p]; rest; rest &= rest - 1) {
                int n = LOWEST_BIT(rest);
                real x_i = x[n * D + i];
                UNROLL
                for (int k = 0; k < VECS; k++) {
                    a[n][k] += x_i * w[k];
                    h[n][k] = activate(a[n][k], hidden);
                }
                if (q->keep)
                    for (int k = 0; k < VECS; k++)
                        h[n][k] *= keep[n][k];
            }
            started |= nonzero[p];
        }
    }
}

static void NAME(nade_logits_sigmoid)(void *context, ptrdiff_t task, int slot)
{
    (void)slot;
    NAME(nade_logits_task)(context, task, SIGMOID);
}

static void NAME(nade_logits_relu)(void *context, ptrdiff_t task, int slot)
{
    (void)slot;
    NAME(nade_logits_task)(context, task, RELU);
}

/* Add up what the blocks gave to the logits of one tile, in the order of the blocks. */
static void NAME(nade_logits_sum)(void *context, ptrdiff_t tile, int slot)
{
    const struct nade_work *work = context;
    const struct nade *q = work->q;
    ptrdiff_t D = q->D;
    const real *b = q->b;
    real *partial = work->partial + tile * work->n_blocks * D * TILE;
    real *logits = (real *)q->logits + tile * TILE * D;
    int rows = NAME(rows_of)(q, tile);
    (void)slot;
    for (ptrdiff_t p = 0; p < D; p++) {
        ptrdiff_t i = q->order[p];
        real sum[TILE];
        for (int n = 0; n < TILE; n++)
            sum[n] = partial[p * TILE + n];
        for (ptrdiff_t block = 1; block < work->n_blocks; block++)
            for (int n = 0; n < TILE; n++)
                sum[n] += partial[(block * D + p) * TILE + n];
        for (int n = 0; n < rows; n++)
            logits[n * D + i] = sum[n] + b[i];
    }
}

static int NAME(nade_logits)(const struct nade *q)
{
    ptrdiff_t N = q->N, D = q->D, block = FORWARD_VECS * LANES;
    ptrdiff_t n_tiles = (N + TILE - 1) / TILE, n_blocks = (q->H + block - 1) / block;
    struct nade_work work = {.q = q, .n_tiles = n_tiles, .n_blocks = n_blocks};
    size_t nonzero_bytes = (size_t)(n_tiles * D) * sizeof(uint32_t);
    size_t partial_bytes = (size_t)(n_tiles * n_blocks * D * TILE) * sizeof(real);
    int threads = threads_for((double)N * (double)D * (double)q->H);
    void *to_free;
    char *scratch = scratch_get(rounded_up(nonzero_bytes) + rounded_up(partial_bytes), &to_free);
    if (scratch == NULL)
        return -1;
    work.nonzero = take(&scratch, nonzero_bytes);
    work.partial = take(&scratch, partial_bytes);
    run_tasks(threads, n_tiles, NAME(mark_nonzero), &work);
    run_tasks(threads, n_tiles * n_blocks,
              q->hidden == SIGMOID ? NAME(nade_logits_sigmoid) : NAME(nade_logits_relu), &work);
    run_tasks(threads, n_tiles, NAME(nade_logits_sum), &work);
    free(to_free);
    return 0;
}

/* Gradients. -------------------------------------------------------------------------------------
 *
 * Like the definition, a walk there that keeps the hidden states, and a walk back. A state lasts
 * from one x that is not 0 to the next; over that run of variables
 *
 *     d_a += sum_i d_logits_i V_i * keep * g'(a)
 *
 * so the sum is collected in d_h, and multiplied by keep * g'(a) once, when the walk back comes to
 * the beginning of the run. Examples that have come back to their start share g(c): of them only
 * the sum of d_logits is needed.
 *
 * Walking back, two variables are taken at once, for the examples whose state is the same for both:
 * h and d_h are then loaded, and d_h is stored, once for two.
 *
 * A task is a block of hidden units, for all examples: the columns of dW, dc and dV are its own.
 */

/* One block of hidden units and where it stands in the walk over one tile. */
#define nade_walk NAME(nade_walk)
struct nade_walk {
    const struct nade *q;
    const real *x, *d_logits; /* of the tile */
    const uint32_t *nonzero;
    /* The block's columns of W, V and their gradients, (D,), by position: side by side and in the
     * order of the walk, which caches and the CPU's prefetching like better than where they are. */
    vec (*W)[BACKWARD_VECS], (*V)[BACKWARD_VECS], (*dW)[BACKWARD_VECS], (*dV)[BACKWARD_VECS];
    vec (*states)[BACKWARD_VECS]; /* in the order of their beginnings; the first is g(c) */
    int32_t *before;              /* the state that the same example had before */
    int32_t state[TILE];          /* of each example: its state now, */
    const vec *h[TILE];           /* and its hidden units, times keep */
    uint32_t started;             /* the examples that do not share g(c) */
    vec a[TILE][BACKWARD_VECS], d_a[TILE][BACKWARD_VECS], d_h[TILE][BACKWARD_VECS];
    vec keep[TILE][BACKWARD_VECS], kept[TILE][BACKWARD_VECS];
};

/* Let h be the hidden units of the example's state. */
INLINE void NAME(enter_state)(struct nade_walk *t, int n)
{
    t->h[n] = t->states[t->state[n]];
    if (t->q->keep) {
        for (int k = 0; k < BACKWARD_VECS; k++)
            t->kept[n][k] = t->h[n][k] * t->keep[n][k];
        t->h[n] = t->kept[n];
    } else if (t->state[n] == 0) {
        t->started &= ~((uint32_t)1 << n);
    }
}

/* At position p, where the states of some examples begin: what their runs gave to d_a, and so what
 * x_i contributes to dW_i. Then these examples go back to the state before. */
INLINE void NAME(end_runs)(struct nade_walk *t, ptrdiff_t p, const int hidden)
{
    enum { VECS = BACKWARD_VECS };
    ptrdiff_t D = t->q->D, i = t->q->order[p];
    vec *dW = t->dW[p];
    for (uint32_t rest = t->nonzero[p]; rest; rest &= rest - 1) {
        int n = LOWEST_BIT(rest);
        real x_i = t->x[n * D + i];
        int32_t old = t->state[n];
        if (t->q->keep)
            for (int k = 0; k < VECS; k++)
                t->d_h[n][k] *= t->keep[n][k];
        UNROLL
        for (int k = 0; k < VECS; k++) {
            vec d_a = t->d_a[n][k] + t->d_h[n][k] * slope(t->states[old][k], hidden);
            t->d_a[n][k] = d_a;
            t->d_h[n][k] = (vec){0};
            dW[k] += x_i * d_a;
        }
        t->state[n] = t->before[old];
        NAME(enter_state)(t, n);
    }
}

/* One example and one variable: dV_i += d h, and d_h += d V_i. */
INLINE void NAME(add_one)(struct nade_walk *t, int n, real d, const vec *v, vec *dv)
{
    const vec *h = t->h[n];
    vec *d_h = t->d_h[n];
    UNROLL
    for (int k = 0; k < BACKWARD_VECS; k++) {
        dv[k] += d * h[k];
        d_h[k] += d * v[k];
    }
}

/* The same for two variables. */
INLINE void NAME(add_two)(struct nade_walk *t, int n, real d0, real d1, const vec *v0,
                          const vec *v1, vec *dv0, vec *dv1)
{
    const vec *h = t->h[n];
    vec *d_h = t->d_h[n];
    UNROLL
    for (int k = 0; k < BACKWARD_VECS; k++) {
        vec h_k = h[k], sum = d_h[k];
        dv0[k] += d0 * h_k;
        dv1[k] += d1 * h_k;
        sum += d0 * v0[k];
        sum += d1 * v1[k];
        d_h[k] = sum;
    }
}

INLINE void NAME(nade_backward_task)(struct nade_work *work, ptrdiff_t block, int slot,
                                     const int hidden)
{
    enum { VECS = BACKWARD_VECS };
    const struct nade *q = work->q;
    ptrdiff_t D = q->D, H = q->H;
    ptrdiff_t first = block * VECS * LANES, width = H - first; /* perhaps more than the block's */
    const real *W = q->W, *V = q->V;
    real *dW = q->dW, *dV = q->dV;
    char *scratch = work->slots + (size_t)slot * work->slot_bytes;
    struct nade_walk walk, *t = &walk;
    vec c[VECS], dc[VECS];

    t->q = q;
    t->states = take(&scratch, (size_t)work->n_states * sizeof *t->states);
    t->before = take(&scratch, (size_t)work->n_states * sizeof *t->before);
    t->W = take(&scratch, (size_t)D * sizeof *t->W);
    t->V = take(&scratch, (size_t)D * sizeof *t->V);
    t->dW = take(&scratch, (size_t)D * sizeof *t->dW);
    t->dV = take(&scratch, (size_t)D * sizeof *t->dV);
    load_units(c, (const real *)q->c + first, width, (const real *)q->c + H, VECS);
    for (int k = 0; k < VECS; k++) {
        t->states[0][k] = activate(c[k], hidden);
        dc[k] = v_set(0);
    }
    for (ptrdiff_t p = 0; p < D; p++) {
        load_units(t->W[p], W + q->order[p] * H + first, width, W + D * H, VECS);
        load_units(t->V[p], V + q->order[p] * H + first, width, V + D * H, VECS);
        for (int k = 0; k < VECS; k++)
            t->dW[p][k] = t->dV[p][k] = v_set(0);
    }

    for (ptrdiff_t tile = 0; tile < work->n_tiles; tile++) {
        const real *x = t->x = (const real *)q->x + tile * TILE * D;
        const real *d_logits = t->d_logits = (const real *)q->d_logits + tile * TILE * D;
        const uint32_t *nonzero = t->nonzero = work->nonzero + tile * D;
        const int rows = NAME(rows_of)(q, tile);
        int32_t n_states = 1;
        vec d_h_start[VECS]; /* of all examples that share g(c) */

        /* There. */
        for (int n = 0; n < TILE; n++) {
            t->state[n] = 0;
            for (int k = 0; k < VECS; k++) {
                t->a[n][k] = c[k];
                t->d_a[n][k] = t->d_h[n][k] = (vec){0};
            }
        }
        for (ptrdiff_t p = 0; p < D - 1; p++) {
            ptrdiff_t i = q->order[p];
            for (uint32_t rest = nonzero[p]; rest; rest &= rest - 1) {
                int n = LOWEST_BIT(rest);
                real x_i = x[n * D + i];
                UNROLL
                for (int k = 0; k < VECS; k++) {
                    vec a = t->a[n][k] + x_i * t->W[p][k];
                    t->a[n][k] = a;
                    t->states[n_states][k] = activate(a, hidden);
                }
                t->before[n_states] = t->state[n];
                t->state[n] = n_states++;
            }
        }

        /* And back. */
        const uint32_t all_rows = ~(uint32_t)0 >> (32 - rows);
        t->started = all_rows;
        for (int n = 0; n < rows; n++) {
            if (q->keep)
                load_units(t->keep[n], (const real *)q->keep + (tile * TILE + n) * H + first, width,
                           (const real *)q->keep + q->N * H, VECS);
            NAME(enter_state)(t, n);
        }
        for (int k = 0; k < VECS; k++)
            d_h_start[k] = (vec){0};

        for (ptrdiff_t p = D - 1; p >= 0; p -= 2) {
            const int two = p > 0;
            const ptrdiff_t i0 = q->order[p], i1 = q->order[two ? p - 1 : p];
            const uint32_t alone = two ? nonzero[p - 1] : ~(uint32_t)0;
            vec v0[VECS], v1[VECS], dv0[VECS], dv1[VECS];
            real d0_start = 0, d1_start = 0;

            NAME(end_runs)(t, p, hidden);
            UNROLL
            for (int k = 0; k < VECS; k++) {
                v0[k] = t->V[p][k];
                v1[k] = t->V[two ? p - 1 : p][k];
                dv0[k] = t->dV[p][k];
                dv1[k] = t->dV[two ? p - 1 : p][k];
            }
            for (uint32_t rest = t->started & ~alone; rest; rest &= rest - 1) {
                int n = LOWEST_BIT(rest);
                NAME(add_two)(t, n, d_logits[n * D + i0], d_logits[n * D + i1], v0, v1, dv0, dv1);
            }
            for (uint32_t rest = t->started & alone; rest; rest &= rest - 1) {
                int n = LOWEST_BIT(rest);
                NAME(add_one)(t, n, d_logits[n * D + i0], v0, dv0);
            }
            for (uint32_t rest = all_rows & ~t->started; rest; rest &= rest - 1) {
                int n = LOWEST_BIT(rest);
                d0_start += d_logits[n * D + i0];
                d1_start += d_logits[n * D + i1];
            }
            if (two) {
                NAME(end_runs)(t, p - 1, hidden);
                for (uint32_t rest = alone; rest; rest &= rest - 1) {
                    int n = LOWEST_BIT(rest);
                    if (t->started >> n & 1)
                        NAME(add_one)(t, n, d_logits[n * D + i1], v1, dv1);
                    else
                        d1_start += d_logits[n * D + i1];
                }
                UNROLL
                for (int k = 0; k < VECS; k++) {
                    t->dV[p - 1][k] = dv1[k] + d1_start * t->states[0][k];
                    d_h_start[k] += d1_start * v1[k];
                }
            }
            UNROLL
            for (int k = 0; k < VECS; k++) {
                t->dV[p][k] = dv0[k] + d0_start * t->states[0][k];
                d_h_start[k] += d0_start * v0[k];
            }
        }

        for (int n = 0; n < rows; n++)
            for (int k = 0; k < VECS; k++) {
                if (q->keep)
                    t->d_a[n][k] += t->d_h[n][k] * t->keep[n][k] * slope(t->states[0][k], hidden);
                dc[k] += t->d_a[n][k];
            }
        for (int k = 0; k < VECS; k++)
            dc[k] += d_h_start[k] * slope(t->states[0][k], hidden);
    }
    store_units((real *)q->dc + first, dc, width, VECS);
    for (ptrdiff_t p = 0; p < D; p++) {
        store_units(dW + q->order[p] * H + first, t->dW[p], width, VECS);
        store_units(dV + q->order[p] * H + first, t->dV[p], width, VECS);
    }
}

/* db is the sum of d_logits over the examples. */
#define sum_rows NAME(sum_rows)
static void sum_rows(ptrdiff_t N, ptrdiff_t D, const real *rows, real *sum)
{
    for (ptrdiff_t i = 0; i < D; i++)
        sum[i] = 0;
    for (ptrdiff_t n = 0; n < N; n++)
        for (ptrdiff_t i = 0; i < D; i++)
            sum[i] += rows[n * D + i];
}

static void NAME(nade_backward_sigmoid)(void *context, ptrdiff_t task, int slot)
{
    struct nade_work *work = context;
    if (task < work->n_blocks)
        NAME(nade_backward_task)(work, task, slot, SIGMOID);
    else
        sum_rows(work->q->N, work->q->D, work->q->d_logits, work->q->db);
}

static void NAME(nade_backward_relu)(void *context, ptrdiff_t task, int slot)
{
    struct nade_work *work = context;
    if (task < work->n_blocks)
        NAME(nade_backward_task)(work, task, slot, RELU);
    else
        sum_rows(work->q->N, work->q->D, work->q->d_logits, work->q->db);
}

/* How many bits are set in the masks of the tile that has most. */
static ptrdiff_t NAME(most_nonzero)(const struct nade_work *work, ptrdiff_t D)
{
    ptrdiff_t most = 0;
    for (ptrdiff_t tile = 0; tile < work->n_tiles; tile++) {
        ptrdiff_t n = 0;
        for (ptrdiff_t p = 0; p < D; p++) {
            uint32_t m = work->nonzero[tile * D + p];
            for (; m; m &= m - 1)
                n++;
        }
        most = n > most ? n : most;
    }
    return most;
}

static int NAME(nade_backward)(const struct nade *q)
{
    ptrdiff_t N = q->N, D = q->D, block = BACKWARD_VECS * LANES;
    ptrdiff_t n_tiles = (N + TILE - 1) / TILE, n_blocks = (q->H + block - 1) / block;
    struct nade_work work = {.q = q, .n_tiles = n_tiles, .n_blocks = n_blocks};
    int threads = threads_for(2. * (double)N * (double)D * (double)q->H);
    void *nonzero_to_free, *slots_to_free;

    work.nonzero = (uint32_t *)scratch_get((size_t)(n_tiles * D) * sizeof(uint32_t),
                                           &nonzero_to_free);
    if (work.nonzero == NULL)
        return -1;
    run_tasks(threads, n_tiles, NAME(mark_nonzero), &work);

    work.n_states = NAME(most_nonzero)(&work, D) + 1;
    work.slot_bytes = rounded_up((size_t)(work.n_states * block) * sizeof(real))
                    + rounded_up((size_t)work.n_states * sizeof(int32_t))
                    + 4 * rounded_up((size_t)(D * block) * sizeof(real));
    work.slots = scratch_get((size_t)threads * work.slot_bytes, &slots_to_free);
    if (work.slots == NULL) {
        free(nonzero_to_free);
        return -1;
    }
    run_tasks(threads, n_blocks + 1,
              q->hidden == SIGMOID ? NAME(nade_backward_sigmoid) : NAME(nade_backward_relu), &work);
    free(slots_to_free);
    free(nonzero_to_free);
    return 0;
}

/* Samples. ---------------------------------------------------------------------------------------
 *
 * The same walk as for the logits, but a variable must be drawn before the walk goes on, from all
 * hidden units: a task is a few examples, with all blocks. */

#define SAMPLE_TILE (LANES < 8 ? 8 : LANES)

struct NAME(nade_sampling) {
    const struct nade *q;
    ptrdiff_t tile, n_blocks;
    char *slots;
    size_t slot_bytes;
};

INLINE void NAME(nade_sample_task)(struct NAME(nade_sampling) *work, ptrdiff_t task, int slot,
                                   const int hidden)
{
    enum { VECS = FORWARD_VECS };
    const struct nade *q = work->q;
    ptrdiff_t D = q->D, H = q->H, n_blocks = work->n_blocks;
    const real *c = q->c, *b = q->b, *W = q->W, *V = q->V;
    const real *c_end = c + H, *W_end = W + D * H, *V_end = V + D * H;
    ptrdiff_t begin = task * work->tile;
    int rows = (int)(q->N - begin < work->tile ? q->N - begin : work->tile);
    real *x = (real *)q->samples + begin * D;
    char *scratch = work->slots + (size_t)slot * work->slot_bytes;
    size_t state_bytes = (size_t)(work->tile * n_blocks) * VECS * sizeof(vec);
    vec (*a)[VECS] = take(&scratch, state_bytes); /* example n, block k: a[n * n_blocks + k] */
    vec (*h)[VECS] = take(&scratch, state_bytes);
    double *threshold = take(&scratch, (size_t)(work->tile * D) * sizeof(double));

    JOIN(logits_of_uniforms, LEVEL, float64)(rows * D, q->uniforms + begin * D, threshold);
    for (ptrdiff_t block = 0; block < n_blocks; block++) {
        ptrdiff_t first = block * VECS * LANES;
        vec c_block[VECS];
        load_units(c_block, c + first, H - first, c_end, VECS);
        for (int n = 0; n < rows; n++)
            for (int k = 0; k < VECS; k++) {
                a[n * n_blocks + block][k] = c_block[k];
                h[n * n_blocks + block][k] = activate(c_block[k], hidden);
            }
    }

    for (ptrdiff_t p = 0; p < D; p++) {
        ptrdiff_t i = q->order[p];
        if (p >= q->n_known) {
            vec s[SAMPLE_TILE];
            real logits[SAMPLE_TILE];
            for (int n = 0; n < SAMPLE_TILE; n++)
                s[n] = v_set(0);
            for (ptrdiff_t block = 0; block < n_blocks; block++) {
                ptrdiff_t first = block * VECS * LANES;
                vec v[VECS];
                load_units(v, V + i * H + first, H - first, V_end, VECS);
                for (int n = 0; n < rows; n++)
                    s[n] += dot(v, h[n * n_blocks + block], VECS);
            }
            UNROLL
            for (int n = 0; n < SAMPLE_TILE; n += LANES)
                v_store(logits + n, v_sums(s + n));
            for (int n = 0; n < rows; n++)
                x[n * D + i] = (double)(logits[n] + b[i]) > threshold[n * D + i];
        }
        if (p == D - 1)
            break;
        for (int n = 0; n < rows; n++) {
            real x_i = x[n * D + i];
            if (x_i == 0)
                continue;
            for (ptrdiff_t block = 0; block < n_blocks; block++) {
                ptrdiff_t first = block * VECS * LANES;
                vec w[VECS];
                load_units(w, W + i * H + first, H - first, W_end, VECS);
                UNROLL
                for (int k = 0; k < VECS; k++) {
                    a[n * n_blocks + block][k] += x_i * w[k];
                    h[n * n_blocks + block][k] = activate(a[n * n_blocks + block][k], hidden);
                }
            }
        }
    }
}

static void NAME(nade_sample_sigmoid)(void *context, ptrdiff_t task, int slot)
{
    NAME(nade_sample_task)(context, task, slot, SIGMOID);
}

static void NAME(nade_sample_relu)(void *context, ptrdiff_t task, int slot)
{
    NAME(nade_sample_task)(context, task, slot, RELU);
}

/* The size of tiles of at most `most` examples so that the threads have equally many. An example's
 * result does not depend on its tile. */
#define even_tiles NAME(even_tiles)
static ptrdiff_t even_tiles(ptrdiff_t N, int threads, ptrdiff_t most)
{
    ptrdiff_t rounds = (N + threads * most - 1) / (threads * most);
    return rounds ? (N + threads * rounds - 1) / (threads * rounds) : 1;
}

static int NAME(nade_sample)(const struct nade *q)
{
    int threads = threads_for((double)q->N * (double)q->D * (double)q->H);
    ptrdiff_t block = FORWARD_VECS * LANES;
    struct NAME(nade_sampling) work = {.q = q, .n_blocks = (q->H + block - 1) / block};
    void *to_free;
    work.tile = even_tiles(q->N, threads, SAMPLE_TILE);
    work.slot_bytes = 2 * rounded_up((size_t)(work.tile * work.n_blocks * block) * sizeof(real))
                    + rounded_up((size_t)(work.tile * q->D) * sizeof(double));
    work.slots = scratch_get((size_t)threads * work.slot_bytes, &to_free);
    if (work.slots == NULL)
        return -1;
    run_tasks(threads, (q->N + work.tile - 1) / work.tile,
              q->hidden == SIGMOID ? NAME(nade_sample_sigmoid) : NAME(nade_sample_relu), &work);
    free(to_free);
    return 0;
}
