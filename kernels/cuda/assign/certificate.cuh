/* The certificate: when a score proves a label. docs/numerics.md, section 2.5, proves the bound.
 *
 * A score is one tensor-core product of operands that carry their own error bound. Beside its
 * columns, an operand has one more k-step of 16, the bound columns: there the point holds 1024, 1024,
 * 1024, |x^| and |dx|, and the centroid M - |C|^2/2 in three float16 pieces (over 1024), |dC| +
 * what sums lose, and |c^| + |dC|. So what comes out of the tensor cores is M + (an upper bound of the
 * score of exactly this pair), with no further arithmetic. Scales are such that M + score always
 * lies in [2^17, 2^24), where the low 26 bits of a float are in the order of the numbers: six bits
 * more take the number of the column, and top-2 is integer maxima and minima.
 *
 * With many centroids hardly any score matters, and a k-step that serves all of them is dear. Then
 * there are no bound columns: centroids are sorted by length, so that those of a tile have much the same bias
 * and bounds, and a row compares bare products with what the greatest of these leave of its best
 * score so far. Only the few products above that become scores, by additions rounded upwards.
 */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_CERTIFICATE_CUH
#define LLOYD_KERNELS_CUDA_ASSIGN_CERTIFICATE_CUH

#include "kernels/cuda/assign/operands.cuh"
#include "kernels/cuda/groups.cuh"

/* Each of the two scores of a comparison is off by less than 6 units of the sum in the bound columns: six
 * addends cut at the last bit of a number below 2^24. One more pays for dist(). */
constexpr float FLASH_GRID_SLACK = 13.0F;
/* The same without bound columns: a bias and two additions, rounded upwards. */
constexpr float FLASH_SUM_SLACK = 4.0F;
/* The threshold of a row that is none: NaN, which nothing reaches. */
#define FLASH_NEVER __int_as_float(0x7fffffff)
constexpr int FLASH_CANDIDATES = 8;       /* room per row, if all rows were listed; */
constexpr int FLASH_MOST = 64;            /* fewer rows share it, up to so many each */
constexpr int FLASH_BLOCK_ROWS = 4 << 20; /* rows labelled at a time: bounds the lists */

/* Rows without a certificate. */
struct flash_lists {
    int *counters;    /* [FLASH_COUNTERS] listed, irregular, crowded, complete; open: those that the
                           8-bit filter leaves to the fallback pass */
    int32_t *row;     /* [block] listed rows, of the slot */
    float *threshold; /* [block] what a nearer centroid's score reaches */
    int32_t *found;   /* [block] number of candidates */
    int32_t *candidate; /* [block * FLASH_CANDIDATES] flash_room() of each row; a row with more is
                           compared with all centroids. From the back, as in row and found, and
                           FLASH_CANDIDATES each: of complete rows, whose candidates are known */
    int32_t
        *undecided; /* [block] irregular or open rows from the front, crowded ones from the back */
    int capacity;   /* block */
};
enum { FLASH_LISTED, FLASH_IRREGULAR, FLASH_CROWDED, FLASH_COMPLETE, FLASH_OPEN, FLASH_COUNTERS };

/* The filter's units, and how the bound deals with the roundings of operands (docs/numerics.md, 2.5).
 */
struct flash_units {
    float sigma;        /* the scale */
    float square;       /* mean square of |X| of ordinary rows */
    bool local;         /* dC counts with the distance of a row to the centroid, not its length */
    bool rows_local;    /* and so does dx */
    float lambda, gain; /* where `local`: a centroid's bias has gain |dC|^2 in it */
};

struct flash_params {
    cuda_rows rows; /* of the slot */
    int64_t begin;  /* rows [begin, begin + count) of the slot */
    int count;
    int steps;            /* k-steps of a row's columns, without the bound columns */
    bool vector;          /* rows can be read 16 bytes at a time */
    const uint8_t *image; /* the centroids' operands, tile by tile */
    int tiles;
    const float2 *bound; /* [K] flash_bound(), and |dC| where `local`, else 0; infinite where the
                            centroid can never be proved nearest */
    /* without bound columns (else NULL), of the centroids as they are sorted: */
    const int32_t *order; /* [K] which one it is */
    const float *bias;    /* [tiles * width] M - |C|^2/2, rounded up to an integer */
    const float4 *most;   /* [tiles] greatest bias, greatest bounds */
    const flash_units *units;
    const float *offset;  /* [steps*16] -sigma * origin (flash_offset) */
    const __half2 *norms; /* [slot rows] |x^| and |dx|, rounded up; infinite: irregular */
    int32_t *labels;      /* of the slot */
    unsigned long long *moved;
    flash_lists lists;
    bool direct; /* there is no fallback pass: all rows without a certificate are undecided */
    unsigned score_factor; /* 64, unknown to the compiler: it must stay one multiply-add */
    uint8_t *scratch;      /* the wide kernel's operands of rows, per block */
    int32_t first; /* the number of the first centroid: of a group that has a few of them all */
};

/* The same for the rows and centroids of group number g of the table, of parameters for all of them; tiles have `width` centroids. */
__host__ __device__ inline flash_params flash_of_group(const flash_params &all, const cuda_group &g,
                                                       int number, unsigned long long *moved,
                                                       int width)
{
    flash_params own = all;
    own.begin = g.first;
    own.count = (int)g.rows;
    own.image = all.image + g.tile * flash_tile_bytes(all.steps + 1, width);
    own.tiles = (g.centroids + width - 1) / width;
    own.bound = all.bound + (int64_t)g.tile * width;
    own.units = all.units + number;
    own.offset = all.offset + (int64_t)number * all.steps * FLASH_STEP;
    own.moved = moved + number;
    own.first = g.begin;
    return own;
}

/* Groups whose rows are labelled by one launch, and pieces of rows of those before each, for kernels that take rows in pieces. */
constexpr int FLASH_TURNS = 128;
struct flash_turns {
    cuda_group_table groups;
    int count, pieces;
    struct {
        int group, piece;
    } turn[FLASH_TURNS];

    /* The one that a piece is of. */
    __device__ int of(int piece) const
    {
        int low = 0, high = count - 1;
        while (low < high) {
            const int middle = (low + high + 1) / 2;
            if (turn[middle].piece > piece)
                high = middle - 1;
            else
                low = middle;
        }
        return low;
    }
    __device__ int end(int t) const
    {
        return t + 1 < count ? turn[t + 1].piece : pieces;
    }
};

/* The score itself: what a float's bits lose when they are multiplied by 64 is known of numbers from
 * 2^17 on, but below 2^25. */
__device__ inline float flash_value(unsigned packed)
{
    return __uint_as_float(0x48000000u | packed >> 6);
}

/* What an operand's own errors come to, at most: of a row with these norms, and a centroid's two
 * bounds. */
__device__ inline float flash_error(__half2 norms, float for_norm, float for_rest)
{
    return __fmaf_ru(__low2float(norms), for_norm, __fmul_ru(__high2float(norms), for_rest));
}

/* The two numbers of a centroid that flash_error() wants, as one word. */
__device__ inline float flash_bound(__half for_norm, __half for_rest)
{
    __half2 pair = __halves2half2(for_norm, for_rest);
    return *reinterpret_cast<float *>(&pair);
}

__device__ inline float2 flash_bounds(float word)
{
    return __half22float2(*reinterpret_cast<const __half2 *>(&word));
}

/* By how much a row's best score must exceed another to prove that its centroid is nearer: `score`
 * of a centroid with `spread` |dC| (infinite: it never can); `errors`: flash_error() of the two. */
__device__ inline float flash_slack(const flash_units &units, __half2 norms, float score,
                                    float errors, float spread, float grid)
{
    if (!units.local) return __fadd_ru(__fadd_ru(errors, spread), grid);
    const float rest = __high2float(norms), length = __fadd_ru(__low2float(norms), rest);
    const float common = units.rows_local ? __fmul_ru(rest, length) : 0; /* |dx . X| */
    const float rounding = units.rows_local ? __fadd_ru(spread, rest) : spread;
    const float bias = __fmul_ru(__fmul_ru(spread, spread), units.gain);
    const float own = __fadd_ru(bias, errors);
    /* Half of the square of the distance, but for the errors. A low score less M may be rounded, by
     * 1/2: times lambda, that is paid for by what the grid's slack leaves. */
    float half = __fadd_ru(__fsub_ru(__fmul_ru(__fmul_ru(length, length), 0.5F),
                                     __fsub_rn(score, FLASH_ORIGIN)),
                           common);
    half = fmaxf(half, 0);
    const float square = __fmul_ru(2, __fadd_ru(__fadd_ru(half, own), 6));
    const float radius = __fadd_ru(rounding, __fsqrt_ru(__fmaf_ru(rounding, rounding, square)));
    float slack = __fmul_ru(__fadd_ru(1, units.lambda), __fmaf_ru(radius, rounding, own));
    slack = __fadd_ru(slack, __fmul_ru(units.lambda, half));
    if (units.rows_local) slack = __fmaf_ru(__fmul_ru(rest, rest), units.gain, slack);
    return __fadd_ru(slack, grid + 1); /* 1: the factor before the winner's own 6 */
}

/* What became of a row in the first pass. */
struct flash_verdict {
    int32_t label;
    float threshold; /* of a row without certificate; NaN: to be compared with all centroids */
    bool certified;
};

/* `index`: the place of the winner. Without bound columns (not BOUNDS) its score holds the greatest bound
 * of its tile. */
template <int WIDTH, bool BOUNDS>
__device__ inline flash_verdict flash_judge(const flash_params &p, unsigned best, unsigned second,
                                            int32_t index, __half2 norms)
{
    const float2 bound = p.bound[index], own = flash_bounds(bound.x);
    const float error = flash_error(norms, own.x, own.y), score = flash_value(best);
    float errors = __fmul_ru(2, error), grid = FLASH_GRID_SLACK;
    if constexpr (!BOUNDS) {
        const float4 most = p.most[index / WIDTH];
        errors = __fadd_ru(error, flash_error(norms, most.y, most.z));
        grid = FLASH_SUM_SLACK;
        index = p.order[index];
    }
    const float slack = flash_slack(*p.units, norms, score, errors, bound.y, grid);
    flash_verdict verdict = {p.first + index, __fsub_rd(score, slack),
                             score - flash_value(second) > slack};
    /* above the filler of the last tile */
    if (p.direct || !(verdict.threshold > FLASH_LEAST)) verdict.threshold = FLASH_NEVER;
    return verdict;
}

#endif
