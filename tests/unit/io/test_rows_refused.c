/* HDF5 files that are refused, and why. */
#include "fixture.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void rows_bad_files(void **state)
{
    (void)state;
    bad_input("gone.h5", "gone.h5", "No such file", NULL);
    bad_input("gone*.h5:/x", "no file matches", "gone*.h5", NULL);
    mkdir("dir", 0755);
    bad_input("dir", "is a directory", "dir/*.h5", NULL);
    mkfifo("pipe", 0644);
    bad_input("pipe", "not a regular file", NULL, NULL);
    put_bytes("text.h5", "These are not vectors.", 22);
    bad_input("text.h5", "not an HDF5 file", ".npy, .fbin", NULL);
    put_bytes("zero.h5", "", 0);
    bad_input("zero.h5", "not an HDF5 file", NULL, NULL);
    put_f32("whole.h5", "x", 1000, 10, 0);
    size_t bytes;
    char *data = get_bytes("whole.h5", &bytes);
    put_bytes("half.h5", data, bytes / 2);
    bad_input("half.h5", "not written completely", "truncated", NULL);
    put_bytes("stub.h5", data, 60);
    bad_input("stub.h5", NULL, NULL, NULL);
    free(data);
    if (geteuid() != 0) {
        chmod("whole.h5", 0);
        bad_input("whole.h5", "Permission denied", NULL, NULL);
    }
}

static void rows_damaged_chunk(void **state)
{
    (void)state;
    put("c.h5", "x", file_type(LLOYD_F32, H5T_ORDER_LE), chunks(100, 20, 1), 2, 1000, 20, 0);
    hid_t file = H5Fopen("c.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
    H5Fclose(file);
    size_t bytes;
    char *data = get_bytes("c.h5", &bytes);
    for (size_t i = bytes / 2; i < bytes / 2 + 200; i++) data[i] = (char)(data[i] ^ 0x5a);
    put_bytes("c.h5", data, bytes);
    free(data);
    bad_read("c.h5", "cannot read rows", "c.h5:/x", "inflate");
}

static void put_empty(const char *name, hid_t type)
{
    hid_t file = open_or_create("types.h5");
    hsize_t extent[2] = {2, 2};
    hid_t space = H5Screate_simple(2, extent, NULL);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(dataset >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Fclose(file);
}

static void rows_bad_types(void **state)
{
    (void)state;
    hid_t string = H5Tcopy(H5T_C_S1), compound = H5Tcreate(H5T_COMPOUND, 8),
          vlen = H5Tvlen_create(H5T_NATIVE_FLOAT);
    H5Tset_size(string, 5);
    H5Tinsert(compound, "a", 0, H5T_NATIVE_FLOAT);
    H5Tinsert(compound, "b", 4, H5T_NATIVE_FLOAT);
    hid_t boolean = H5Tenum_create(H5T_NATIVE_INT8), odd = float_type(4, 6, 25, 31, H5T_ORDER_LE);
    signed char no = 0;
    H5Tenum_insert(boolean, "FALSE", &no);
    hsize_t three = 3;
    hid_t array = H5Tarray_create2(H5T_NATIVE_FLOAT, 1, &three);
    hid_t narrow = H5Tcopy(H5T_STD_U8LE);
    H5Tset_precision(narrow, 4);
    struct {
        const char *name;
        hid_t type;
        const char *word, *advice;
    } types[] = {
        {"a", H5T_STD_I64LE, "int64", "astype('float32')"},
        {"b", H5T_STD_I32BE, "int32", "astype"},
        {"c", H5T_STD_U16LE, "uint16", "astype"},
        {"d", H5T_STD_I16LE, "int16", "float32 or uint8"},
        {"e", string, "string", "FILE:DATASET"},
        {"f", compound, "compound", "FILE:DATASET"},
        {"g", vlen, "variable-length", "FILE:DATASET"},
        {"h", boolean, "enumeration", "FILE:DATASET"},
        {"i", H5T_STD_REF_OBJ, "reference", "FILE:DATASET"},
        {"j", H5T_STD_B8LE, "bitfield", "FILE:DATASET"},
        {"k", array, "array", "FILE:DATASET"},
        {"l", odd, "unusual 4-byte", "astype"},
        {"m", narrow, "ever written", "types.h5"}, /* read, if there were any */
        {"n", H5T_STD_U64BE, "uint64", "astype"},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char input[32];
        put_empty(types[i].name, types[i].type);
        snprintf(input, sizeof input, "types.h5:%s", types[i].name);
        bad_input(input, types[i].word, types[i].advice, input + 9);
    }
    H5Tclose(string), H5Tclose(compound), H5Tclose(vlen), H5Tclose(boolean), H5Tclose(odd),
        H5Tclose(array), H5Tclose(narrow);
}

static void rows_bad_shapes(void **state)
{
    (void)state;
    put("s.h5", "one", file_type(LLOYD_F32, H5T_ORDER_LE), H5P_DEFAULT, 1, 7, 1, 0);
    put("s.h5", "three", file_type(LLOYD_F32, H5T_ORDER_LE), H5P_DEFAULT, 3, 7, 2, 0);
    put_f32("s.h5", "no-rows", 0, 5, 0);
    put_f32("s.h5", "no-columns", 5, 0, 0);
    bad_input("s.h5:one", "s.h5:/one has 1 dimension,", "/no-columns, /no-rows", NULL);
    bad_input("s.h5:three", "has 3 dimensions", NULL, NULL);
    bad_input("s.h5:no-rows", "s.h5:/no-rows has no rows", NULL, NULL);
    bad_input("s.h5:no-columns", "zero columns", NULL, NULL);
    hid_t file = H5Fopen("s.h5", H5F_ACC_RDWR, H5P_DEFAULT), scalar = H5Screate(H5S_SCALAR),
          null = H5Screate(H5S_NULL);
    H5Dclose(H5Dcreate2(file, "scalar", H5T_NATIVE_FLOAT, scalar, H5P_DEFAULT, H5P_DEFAULT,
                        H5P_DEFAULT));
    H5Dclose(
        H5Dcreate2(file, "null", H5T_NATIVE_FLOAT, null, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    hsize_t vast[2] = {(hsize_t)1 << 40, (hsize_t)1 << 30};
    hid_t space = H5Screate_simple(2, vast, NULL), creation = chunks(64, 64, 0);
    H5Dclose(H5Dcreate2(file, "vast", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Pclose(creation), H5Sclose(space), H5Sclose(scalar), H5Sclose(null), H5Fclose(file);
    bad_input("s.h5:scalar", "0 dimensions", NULL, NULL);
    bad_input("s.h5:null", "0 dimensions", NULL, NULL);
    bad_input("s.h5:vast", "2^63", NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(rows_bad_files), TEST(rows_damaged_chunk),
                                       TEST(rows_bad_types), TEST(rows_bad_shapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
