from pyarsimple.density import all_rows

EXERCISE = "ancestral-sampling"


def fill_in(state, x, n_known, uniforms, conditional):
    columns = {}
    for k, i in enumerate(state.order):
        known = k < n_known
        columns[i] = x[:, i] if known else conditional.sample(state.outputs(), uniforms[:, i])
        state.advance(columns[i])
    done = x.copy()
    for i, column in columns.items():
        done[:, i] = column
    return done


def count_rows(x, sizes):
    counts = [0.0] * len(all_rows(sizes))
    for row in x:
        index = 0
        for value, size in zip(row, sizes, strict=True):
            index = index * size + int(value)
        counts[index] += 1
    return counts


def pearson(observed, expected):
    share = expected / expected.sum()
    return ((observed / observed.sum() - share) ** 2 / share).sum() * observed.sum()
