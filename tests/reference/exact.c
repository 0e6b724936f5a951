#include "exact.h"

#include "files.h"

#include <math.h>
#include <string.h>

static int is_negative(const exact *a)
{
    return a->word[WORDS - 1] >> 63 != 0;
}

int is_zero(const exact *a)
{
    for (int i = 0; i < WORDS; i++) {
        if (a->word[i] != 0) return 0;
    }
    return 1;
}

/* to += value 2^(64 from), or -= */
static void add_word(exact *to, uint64_t value, int from, int subtract)
{
    for (int i = from; i < WORDS && value != 0; i++) {
        uint64_t old = to->word[i];
        to->word[i] = subtract ? old - value : old + value;
        value = subtract ? old < value : to->word[i] < old; /* the borrow or carry */
    }
}

void add_double(exact *to, double value, int sign)
{
    int exponent = 0;
    int64_t mantissa = (int64_t)ldexp(frexp(value, &exponent), 53);
    int shift = exponent - 53 - UNIT; /* value = mantissa 2^(shift + UNIT) */
    if (mantissa == 0) return;
    while (shift < 0 && mantissa % 2 == 0) {
        mantissa /= 2;
        shift++;
    }
    if (shift < 0 || shift > 64 * (WORDS - 2)) die("out of range", "an exact sum");
    int subtract = (mantissa < 0) != (sign < 0), inside = shift % 64;
    uint64_t size = (uint64_t)(mantissa < 0 ? -mantissa : mantissa);
    add_word(to, size << inside, shift / 64, subtract);
    if (inside > 0) add_word(to, size >> (64 - inside), shift / 64 + 1, subtract);
}

static void subtract(exact *to, const exact *a)
{
    for (int i = 0; i < WORDS; i++) add_word(to, a->word[i], i, 1);
}

static exact size_of(const exact *a)
{
    exact size = {{0}};
    if (!is_negative(a)) return *a;
    subtract(&size, a);
    return size;
}

/* a 2^by, for a >= 0 and by >= 0 */
static exact shifted(const exact *a, int by)
{
    exact to = {{0}};
    for (int i = WORDS - 1; i >= 0; i--) {
        int from = i - by / 64;
        if (from >= 0) to.word[i] = a->word[from] << (by % 64);
        if (from >= 1 && by % 64 > 0) to.word[i] |= a->word[from - 1] >> (64 - by % 64);
    }
    return to;
}

/* The smallest integer e with a < 2^(e + UNIT), for a >= 0. */
static int bits_of(const exact *a)
{
    for (int i = WORDS - 1; i >= 0; i--) {
        int bits = 64;
        while (bits > 0 && a->word[i] >> (bits - 1) == 0) bits--;
        if (bits > 0) return 64 * i + bits;
    }
    return 0;
}

static int is_less(const exact *a, const exact *b)
{
    exact difference = *a;
    subtract(&difference, b);
    return is_negative(&difference);
}

/* a / b for a, b > 0, rounded once to `digits` bits and to a multiple of 2^lowest, ties to even. Long division. */
static double rounded_quotient(exact a, exact b, int digits, int lowest)
{
    int top = bits_of(&a) - bits_of(&b); /* 2^(top - 1) < a / b < 2^(top + 1) */
    exact scaled = top > 0 ? shifted(&b, top) : b, part = top < 0 ? shifted(&a, -top) : a;
    if (is_less(&part, &scaled)) top--; /* 2^top <= a / b */
    int last = top - digits + 1 > lowest ? top - digits + 1 : lowest;
    if (last > 0)
        b = shifted(&b, last);
    else
        a = shifted(&a, -last);
    uint64_t quotient = 0;
    for (int bit = digits; bit >= 0; bit--) {
        exact multiple = shifted(&b, bit);
        if (is_less(&a, &multiple)) continue;
        subtract(&a, &multiple);
        quotient += (uint64_t)1 << bit;
    }
    exact twice = shifted(&a, 1);
    int above = is_less(&b, &twice), below = is_less(&twice, &b);
    if (above || (!below && quotient % 2 == 1)) quotient++;
    return ldexp((double)quotient, last);
}

double rounded_to_double(const exact *a)
{
    exact one = {{0}}, size = size_of(a);
    add_double(&one, 1, 1);
    if (is_zero(a)) return 0;
    double value = rounded_quotient(size, one, 53, UNIT);
    return is_negative(a) ? -value : value;
}

/* RN32(a / b), b > 0: zero is +0, and infinity what float32 does not reach. */
float float32_quotient(const exact *a, const exact *b)
{
    exact size = size_of(a);
    if (is_zero(a)) return 0;
    if (bits_of(&size) - bits_of(b) > 200) return INFINITY;
    float value = (float)rounded_quotient(size, *b, 24, -149);
    return is_negative(a) && value != 0 ? -value : value;
}
