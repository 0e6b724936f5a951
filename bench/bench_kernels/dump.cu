#include "dump.cuh"

#include <cstdio>

namespace benchmarks
{

namespace
{

/* NumPy's name of a type; NULL: it has none. */
const char *numpy_name(lloyd_type type)
{
    switch (type) {
    case LLOYD_F32: return "<f4";
    case LLOYD_F16: return "<f2";
    case LLOYD_U8: return "|u1";
    case LLOYD_I8: return "|i1";
    default: return nullptr;
    }
}

/* The header of version 1.0 of the format: its length with all that precedes it is a multiple of 64. */
std::string npy_header(const char *type, int64_t rows, int64_t columns)
{
    std::string text = std::string("{'descr': '") + type + "', 'fortran_order': False, 'shape': (" +
                       std::to_string(rows) + ", " + std::to_string(columns) + "), }";
    const size_t before = 10;
    text.append((64 - (before + text.size() + 1) % 64) % 64, ' ');
    text.push_back('\n');
    std::string header("\x93NUMPY\x01\x00", 8);
    header.push_back((char)(text.size() & 255));
    header.push_back((char)(text.size() >> 8));
    return header + text;
}

lloyd_status write_array(const std::string &path, const char *type, int64_t rows, int64_t columns,
                         const void *data, size_t bytes)
{
    const std::string header = npy_header(type, rows, columns);
    FILE *file = fopen(path.c_str(), "wb");
    bool written = file && fwrite(header.data(), 1, header.size(), file) == header.size() &&
                   fwrite(data, 1, bytes, file) == bytes;
    if (file && fclose(file) != 0) written = false;
    return written ? LLOYD_OK : lloyd_fail(LLOYD_FAILED, "cannot write %s", path.c_str());
}

} // namespace

lloyd_status dump(const bench &b, const char *folder)
{
    const shape &s = b.size;
    const char *type = numpy_name(b.type);
    if (!type)
        return lloyd_fail(LLOYD_USAGE, "rows of type %s cannot be written as .npy",
                          lloyd_type_name(b.type));
    const std::string name = std::string("-") + lloyd_type_name(b.type) + "-" +
                             std::to_string(s.n) + "x" + std::to_string(s.d),
                      before = std::string(folder) + "/";
    std::vector<char> rows((size_t)(s.n * s.d) * lloyd_type_size(b.type));
    LLOYD_TRY(b.rows.copy_to(rows.data(), (int64_t)rows.size(), "the rows of the benchmark"));
    LLOYD_TRY(
        write_array(before + "rows" + name + ".npy", type, s.n, s.d, rows.data(), rows.size()));
    return write_array(before + "centroids" + name + "-" + std::to_string(s.k) + ".npy",
                       numpy_name(LLOYD_F32), s.k, s.d, b.first.data(),
                       b.first.size() * sizeof(float));
}

} // namespace benchmarks
