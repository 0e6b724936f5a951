/* See chart.h. Lengths are in units of the view box, in which text is 11 high. */
#include "report/chart.h"

#include "base/text.h"
#include "report/html.h"

#include <math.h>
#include <string.h>

enum {
    WIDTH = 400,
    HEIGHT = 240,
    LEFT = 58, /* of the plotting area */
    RIGHT = 380,
    TOP = 30,
    BOTTOM = 196,
    INSET = 8,  /* between the ends of the x axis and a curve's first and last point */
    DOTS = 48,  /* curves of no more points have a dot at each */
    COLUMN = 2, /* a column of this width shows its first, lowest, highest and last point */
    TICKS = 12, /* at most, of an axis */
    ROW = 26    /* height of a bar in a list */
};

static const double LETTER = 6.3;      /* mean width */
static const double SMALLEST = 1e-290; /* what is nearer to 0 is 0 to an axis */
static const double LARGEST = 1e300;

/* ---- Axes ------------------------------------------------------------------------------ */

/* Values are placed by their scale: themselves or their logarithm, from low at `from` to high at
 * `to`. */
typedef struct axis {
    double low, high, from, to;
    int log, whole; /* whole: ticks at whole numbers only */
    int count;
    double tick[TICKS];     /* values */
    int exponent, decimals; /* linear: labels are value / 10^exponent */
    int powers;             /* logarithmic: labels are powers of ten */
} axis;

static double scale(const axis *a, double value)
{
    return a->log ? log10(value) : value;
}

static int is_shown(const axis *a, double value)
{
    return fabs(value) < LARGEST && (!a->log || value > SMALLEST);
}

static double place(const axis *a, double value)
{
    return a->from + (scale(a, value) - a->low) / (a->high - a->low) * (a->to - a->from);
}

/* The largest power of ten that is at most `value`, as an exponent. */
static int exponent_of(double value)
{
    return (int)floor(log10(value) + 1e-9);
}

static const char *tick_label(const axis *a, int i, char *text, size_t bytes)
{
    double value = a->tick[i];
    char power[32];
    if (!a->log) {
        snprintf(text, bytes, "%.*f", a->decimals, value / pow(10, a->exponent) + 0.0);
        if (a->decimals == 0 && fabs(value) < 1e6 && a->exponent == 0)
            lloyd_text_count(llround(value), text, bytes);
        return text;
    }
    int exponent = exponent_of(value);
    long first = lround(value / pow(10, exponent));
    if (!a->powers && value >= 1000) return lloyd_text_count(llround(value), text, bytes);
    if (!a->powers || exponent == 0) return lloyd_text_real(value, 6, text, bytes);
    lloyd_text_power(exponent, power, sizeof power);
    if (first == 1)
        snprintf(text, bytes, "%s", power);
    else
        snprintf(text, bytes, "%ld×%s", first, power);
    return text;
}

/* Characters of a UTF-8 text. */
static int letters(const char *text)
{
    int count = 0;
    for (; *text != '\0'; text++) count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* Whether the labels of the ticks do not come near each other. */
static int fits(const axis *a, int horizontal)
{
    char text[64];
    double before = 0;
    for (int i = 0; i < a->count; i++) {
        double at = place(a, a->tick[i]), half = 9;
        if (horizontal) half = LETTER * letters(tick_label(a, i, text, sizeof text)) / 2 + 3;
        if (i > 0 && fabs(at - place(a, a->tick[i - 1])) < before + half) return 0;
        before = half;
    }
    return 1;
}

/* 1, 2 or 5 times a power of ten, at least `value`. */
static double round_step(double value)
{
    double power = pow(10, floor(log10(value)));
    double first = value / power;
    return power * (first <= 1.0000001 ? 1 : first <= 2.0000001 ? 2 : first <= 5.0000001 ? 5 : 10);
}

/* Ticks at multiples of a round step; with `extend` the axis begins and ends at one. */
static void linear_ticks(axis *a, int parts, int extend)
{
    double step = round_step((a->high - a->low) / parts);
    if (a->whole && step < 1) step = 1;
    if (extend) {
        a->low = floor(a->low / step + 1e-6) * step;
        a->high = ceil(a->high / step - 1e-6) * step;
    }
    double first = ceil(a->low / step - 1e-6), last = floor(a->high / step + 1e-6);
    a->count = 0;
    for (double i = first; i <= last && a->count < TICKS; i++) a->tick[a->count++] = i * step;
    double most = fmax(fabs(a->low), fabs(a->high));
    a->exponent = 0;
    if (most >= 1e6 || most < 1e-3) a->exponent = 3 * (int)floor(exponent_of(most) / 3.0);
    a->decimals = (int)fmax(0, a->exponent - exponent_of(step));
}

/* Ticks at 1, 2 and 5 times the powers of ten, or (every > 0) at each `every`-th power. */
static void log_ticks(axis *a, int every)
{
    static const double multiple[] = {1, 2, 5};
    a->count = 0;
    a->powers = a->low < -3.0001 || a->high > 5.0001;
    for (int e = (int)floor(a->low) - 1; e <= (int)ceil(a->high) && a->count < TICKS; e++) {
        if (every > 1 && e % every != 0) continue;
        for (int m = 0; m < (every > 0 ? 1 : 3) && a->count < TICKS; m++) {
            double at = e + log10(multiple[m]);
            if (at >= a->low - 1e-9 && at <= a->high + 1e-9)
                a->tick[a->count++] = multiple[m] * pow(10, e);
        }
    }
}

/* Ticks of a logarithmic axis that spans too little for powers of ten. */
static void close_log_ticks(axis *a, int parts)
{
    axis values = {.low = pow(10, a->low), .high = pow(10, a->high), .whole = a->whole};
    linear_ticks(&values, parts, 0);
    a->count = values.count;
    memcpy(a->tick, values.tick, sizeof a->tick);
}

/* As many ticks as have room. */
static void choose_log_ticks(axis *a, int horizontal)
{
    static const int every[] = {0, 1, 2, 3, 5, 10, 20, 50, 100, 200};
    for (size_t i = 0; i < sizeof every / sizeof *every; i++) {
        log_ticks(a, every[i]);
        if (i == 0 && a->count < 3) {
            for (int parts = 5; parts > 0; parts--) {
                close_log_ticks(a, parts);
                if (fits(a, horizontal)) return;
            }
        }
        if (a->count < TICKS && fits(a, horizontal)) return;
    }
}

static void choose_linear_ticks(axis *a, int horizontal, int extend)
{
    axis wanted = *a;
    for (int parts = 7; parts > 0; parts--) {
        *a = wanted;
        linear_ticks(a, parts, extend);
        if (a->count < TICKS && fits(a, horizontal)) return;
    }
}

/* The next of 1, 2, 5 times a power of ten below or above a logarithm. */
static double round_log(double at, int up)
{
    static const double multiple[] = {1, 2, 5, 10};
    double whole = floor(at), result = whole;
    for (int m = 0; m < 4; m++) {
        double candidate = whole + log10(multiple[m]);
        if (up && candidate >= at - 1e-9) return candidate;
        if (!up && candidate <= at + 1e-9) result = candidate;
    }
    return up ? whole + 1 : result;
}

/* From least to most; 0 where nothing can be drawn. */
static int find_range(const double *values, int64_t first, int64_t count, double log_ratio, axis *a)
{
    double least = INFINITY, most = -INFINITY, positive = INFINITY;
    for (int64_t i = 0; i < count; i++) {
        double value = values != NULL ? values[i] : (double)(first + i);
        if (!(fabs(value) < LARGEST)) continue;
        least = fmin(least, value);
        most = fmax(most, value);
        if (value > SMALLEST) positive = fmin(positive, value);
    }
    a->log = log_ratio > 0 && positive < INFINITY && most / positive >= log_ratio;
    a->low = a->log ? log10(positive) : least;
    a->high = a->log ? log10(most) : most;
    return least <= most;
}

/* An axis without length gets one, around its value. */
static void widen(axis *a)
{
    double middle = fmax(fabs(a->low), fabs(a->high));
    if (a->log || a->high - a->low > fmax(1e-4 * middle, SMALLEST)) return;
    double margin = a->whole && middle < 1e4 ? 0.5 : middle > SMALLEST ? 0.05 * middle : 1;
    a->low -= margin;
    a->high += margin;
}

static int make_y(const lloyd_chart *c, axis *a)
{
    *a = (axis){.from = BOTTOM, .to = TOP, .whole = c->y_whole};
    if (!find_range(c->y, 0, c->count, c->y_log, a)) return 0;
    if (a->log) {
        a->low = round_log(a->low, 0);
        a->high = round_log(a->high, 1);
        choose_log_ticks(a, 0);
        return 1;
    }
    if (c->y_zero && a->low > 0) a->low = 0;
    widen(a);
    choose_linear_ticks(a, 0, 1);
    return 1;
}

static void choose_x_ticks(axis *a)
{
    if (a->log) {
        choose_log_ticks(a, 1);
        return;
    }
    widen(a);
    choose_linear_ticks(a, 1, 0);
}

/* ---- Drawing --------------------------------------------------------------------------- */

static void open_svg(FILE *out, const lloyd_chart *c, int height)
{
    fprintf(out, "<figure><svg role=\"img\" viewBox=\"0 0 %d %d\" aria-labelledby=\"%s-t %s-d\">\n",
            WIDTH, height, c->id, c->id);
    fprintf(out, "<title id=\"%s-t\">", c->id);
    lloyd_html_text(out, c->title);
    fprintf(out, "</title><desc id=\"%s-d\">", c->id);
    lloyd_html_text(out, c->describe);
    fputs("</desc>\n", out);
}

/* `hidden`: how many points are not drawn. */
static void close_svg(FILE *out, const lloyd_chart *c, int64_t hidden)
{
    char count[32];
    fputs("</svg>\n<figcaption><b>", out);
    lloyd_html_text(out, c->title);
    fputs("</b> ", out);
    lloyd_html_text(out, c->describe);
    if (hidden > 0)
        fprintf(out, " Not drawn: %s value%s that this axis cannot show.",
                lloyd_text_count(hidden, count, sizeof count), hidden == 1 ? "" : "s");
    fputs("</figcaption></figure>\n", out);
}

static void label(FILE *out, double x, double y, const char *class, const char *text)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
    lloyd_html_text(out, text);
    fputs("</text>\n", out);
}

static void draw_axes(FILE *out, const lloyd_chart *c, const axis *x, const axis *y)
{
    char text[64], power[32], title[128];
    fputs("<path class=\"grid\" d=\"", out);
    for (int i = 0; i < y->count; i++)
        fprintf(out, "M%d %.1fH%d", LEFT, place(y, y->tick[i]), RIGHT);
    fprintf(out, "\"/>\n<path class=\"axis\" d=\"M%d %dH%d", LEFT, BOTTOM, RIGHT);
    for (int i = 0; i < x->count; i++) fprintf(out, "M%.1f %dv4", place(x, x->tick[i]), BOTTOM);
    fputs("\"/>\n", out);
    for (int i = 0; i < y->count; i++)
        label(out, LEFT - 6, place(y, y->tick[i]) + 4, "y", tick_label(y, i, text, sizeof text));
    for (int i = 0; i < x->count; i++)
        label(out, place(x, x->tick[i]), BOTTOM + 17, "x", tick_label(x, i, text, sizeof text));
    snprintf(title, sizeof title, "%s%s%s%s", c->y_title, y->exponent != 0 ? ", × " : "",
             y->exponent != 0 ? lloyd_text_power(y->exponent, power, sizeof power) : "",
             y->log ? ", log scale" : "");
    label(out, 4, 15, "name", title);
    snprintf(title, sizeof title, "%s%s%s%s", c->x_title, x->exponent != 0 ? ", × " : "",
             x->exponent != 0 ? lloyd_text_power(x->exponent, power, sizeof power) : "",
             x->log ? ", log scale" : "");
    label(out, RIGHT, BOTTOM + 35, "name end", title);
}

static double x_of(const lloyd_chart *c, int64_t i)
{
    return c->x != NULL ? c->x[i] : (double)(c->first + i);
}

/* A curve as the path of an SVG: one part after each gap. */
typedef struct pen {
    FILE *out;
    const lloyd_chart *chart;
    const axis *x, *y;
    int down;
} pen;

static void pen_to(pen *p, int64_t i)
{
    fprintf(p->out, "%s%.1f %.1f", p->down ? "L" : "M", place(p->x, x_of(p->chart, i)),
            place(p->y, p->chart->y[i]));
    p->down = 1;
}

/* What a column of points shows of the curve. */
typedef struct column {
    int64_t first, least, most, last; /* points; first < 0: none */
} column;

static void draw_column(pen *p, const column *c)
{
    int64_t low = c->least < c->most ? c->least : c->most, high = c->least + c->most - low;
    if (c->first < 0) return;
    pen_to(p, c->first);
    if (low > c->first) pen_to(p, low);
    if (high > low && high > c->first) pen_to(p, high);
    if (c->last > high) pen_to(p, c->last);
}

/* Returns how many points are not drawn. */
static int64_t draw_curve(FILE *out, const lloyd_chart *c, const axis *x, const axis *y)
{
    int64_t hidden = 0;
    pen p = {.out = out, .chart = c, .x = x, .y = y};
    column now = {.first = -1};
    int at = -1;
    fputs("<path class=\"line\" d=\"", out);
    for (int64_t i = 0; i < c->count; i++) {
        int shown = is_shown(x, x_of(c, i)) && is_shown(y, c->y[i]);
        int here = shown ? (int)place(x, x_of(c, i)) / COLUMN : -1;
        if (!shown || here != at) {
            draw_column(&p, &now);
            now = (column){-1, -1, -1, -1};
            if (!shown) p.down = 0;
        }
        at = here;
        hidden += !shown;
        if (!shown) continue;
        if (now.first < 0) now = (column){i, i, i, i};
        if (c->y[i] < c->y[now.least]) now.least = i;
        if (c->y[i] > c->y[now.most]) now.most = i;
        now.last = i;
    }
    draw_column(&p, &now);
    fputs("\"/>\n", out);
    return hidden;
}

static void draw_dots(FILE *out, const lloyd_chart *c, const axis *x, const axis *y)
{
    char text[64];
    for (int64_t i = 0; i < c->count && c->count <= DOTS; i++) {
        if (!is_shown(x, x_of(c, i)) || !is_shown(y, c->y[i])) continue;
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"><title>", place(x, x_of(c, i)),
                place(y, c->y[i]));
        lloyd_html_text(out, c->point);
        fprintf(out, " %.10g: %s</title></circle>\n", x_of(c, i),
                lloyd_text_real(c->y[i], 10, text, sizeof text));
    }
}

/* Where there is nothing to draw, the caption stands alone. */
static void draw_nothing(FILE *out, const lloyd_chart *c)
{
    fputs("<figure><figcaption><b>", out);
    lloyd_html_text(out, c->title);
    fputs("</b> No value that can be drawn.</figcaption></figure>\n", out);
}

void lloyd_chart_line(FILE *out, const lloyd_chart *c)
{
    axis x = {.from = LEFT + INSET, .to = RIGHT - INSET, .whole = c->x == NULL}, y;
    if (!find_range(c->x, c->first, c->count, c->x_log, &x) || !make_y(c, &y)) {
        draw_nothing(out, c);
        return;
    }
    choose_x_ticks(&x);
    open_svg(out, c, HEIGHT);
    draw_axes(out, c, &x, &y);
    int64_t hidden = draw_curve(out, c, &x, &y);
    draw_dots(out, c, &x, &y);
    close_svg(out, c, hidden);
}

/* What a bar's tooltip says it holds: of whole numbers the first and the last one. */
static void write_range(FILE *out, const lloyd_chart *c, int64_t i)
{
    char low[64], high[64];
    if (c->x_real)
        fprintf(out, "%s to %s", lloyd_text_real(c->x[i], 4, low, sizeof low),
                lloyd_text_real(c->x[i + 1], 4, high, sizeof high));
    else
        fprintf(out, "%s to %s", lloyd_text_count((int64_t)c->x[i], low, sizeof low),
                lloyd_text_count((int64_t)c->x[i + 1] - 1, high, sizeof high));
}

static void draw_bars(FILE *out, const lloyd_chart *c, const axis *x, const axis *y)
{
    for (int64_t i = 0; i < c->count; i++) {
        char number[32];
        double from = place(x, c->x[i]), to = place(x, c->x[i + 1]), top = place(y, c->y[i]);
        if (!(c->y[i] > 0)) continue;
        fprintf(out,
                "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>",
                from + 0.5, top, fmax(to - from - 1, 0.5), BOTTOM - top);
        write_range(out, c, i);
        fprintf(out, " %s: %s</title></rect>\n", c->point,
                lloyd_text_count((int64_t)c->y[i], number, sizeof number));
    }
}

/* Lines from top to bottom, with their names above them; a name that would run into the one before it stands
 * higher. */
static void draw_marks(FILE *out, const lloyd_chart *c, const axis *x)
{
    double taken = 0;
    for (int i = 0; i < c->mark_count; i++) {
        if (!(c->marks[i] >= c->x[0] && c->marks[i] <= c->x[c->count])) continue;
        const double at = place(x, c->marks[i]), half = LETTER * letters(c->mark_names[i]) / 2;
        const int free_below = at - half > taken;
        fprintf(out, "<path class=\"mark\" d=\"M%.1f %dV%d\"/>\n", at, TOP, BOTTOM);
        label(out, fmin(at, WIDTH - half), free_below ? TOP - 4 : TOP - 16, "x name",
              c->mark_names[i]);
        if (free_below) taken = at + half + LETTER;
    }
}

void lloyd_chart_histogram(FILE *out, const lloyd_chart *c)
{
    axis x = {.from = LEFT + INSET, .to = RIGHT - INSET, .whole = !c->x_real}, y;
    if (!find_range(c->x, 0, c->count + 1, 1, &x) || !make_y(c, &y)) {
        draw_nothing(out, c);
        return;
    }
    choose_x_ticks(&x);
    open_svg(out, c, HEIGHT);
    draw_axes(out, c, &x, &y);
    draw_bars(out, c, &x, &y);
    draw_marks(out, c, &x);
    close_svg(out, c, 0);
}

void lloyd_chart_rows(FILE *out, const lloyd_chart *c, const char *const *names)
{
    const int names_end = 118, bars_end = 310;
    double most = 0;
    for (int64_t i = 0; i < c->count; i++) most = fmax(most, c->y[i]);
    open_svg(out, c, 8 + ROW * (int)c->count);
    for (int64_t i = 0; i < c->count; i++) {
        char text[48];
        double y = 8 + (double)(ROW * i), length = 0;
        if (most > 0 && c->y[i] > 0) length = c->y[i] / most * (bars_end - names_end);
        lloyd_html_time(c->y[i], text, sizeof text);
        label(out, names_end - 8, y + 14, "y", names[i]);
        fprintf(out, "<rect class=\"bar\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"18\"><title>",
                names_end, y, fmax(length, 0.5));
        lloyd_html_text(out, names[i]);
        fprintf(out, ": %s</title></rect>\n", text);
        label(out, names_end + length + 6, y + 14, "value", text);
    }
    close_svg(out, c, 0);
}
