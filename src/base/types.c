/* Names of the element types. */
#include "base/types.h"

const char *lloyd_type_name(lloyd_type type)
{
    switch (type) {
    case LLOYD_F32: return "float32";
    case LLOYD_F16: return "float16";
    case LLOYD_BF16: return "bfloat16";
    case LLOYD_U8: return "uint8";
    case LLOYD_I8: return "int8";
    }
    return "unknown";
}
