#!/usr/bin/env bash
# Installs a build tree into a temporary prefix, moves that prefix elsewhere, and uses it as other projects do: through the CMake
# package and through pkg-config, shared and static, from C and C++. Everything must give the same inertia to the last
# digit. Also checks which symbols the libraries give away.
#
# The example of docs/examples is built so too, and run on two ranks.
#
#     tests/consumer/run.sh BUILD_DIR DIGITS.h5
set -euo pipefail

build=$(cd "$1" && pwd)
data=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd)
examples=$(cd "$here/../../docs/examples" && pwd)
cmake=${CMAKE:-cmake}
cc=${CC:-cc}
mpirun=${MPIRUN:-mpirun}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "consumer: $*" >&2
    exit 1
}

"$cmake" --install "$build" --prefix "$work/first" >"$work/install.log" ||
    { cat "$work/install.log"; fail "cmake --install failed"; }
mv "$work/first" "$work/prefix"
prefix=$work/prefix

# A path below the prefix: lib may be lib64 or lib/<architecture>.
installed() {
    local found
    found=$(find "$prefix" -path "*/$1" -print -quit)
    [[ -n $found ]] || fail "$1 is not installed"
    echo "$found"
}

for file in bin/lloyd liblloyd.a liblloyd.so include/lloyd/lloyd.h include/lloyd/lloyd_mpi.h \
    include/lloyd/status.h share/man/man1/lloyd.1 share/bash-completion/completions/lloyd \
    pkgconfig/lloyd.pc cmake/lloyd/lloyd-config.cmake; do
    installed "$file" >/dev/null
done
if grep -rlF -e "$work" -e "$build" "$prefix" --include='*.cmake' --include='*.pc'; then
    fail "the files above name the folder of the build or of the first installation"
fi
"$(installed bin/lloyd)" --version >/dev/null || fail "the installed program does not start"

# The Python package finds the library in the prefix (configured with -DLLOYD_PYTHON=ON).
python=$(find "$prefix" -path '*/python/lloyd' -print -quit)
if [[ -z $python ]]; then
    echo "SKIPPED the Python package: this build has LLOYD_PYTHON=OFF"
else
    env -u LLOYD_LIBRARY PYTHONPATH="${python%/lloyd}" "${PYTHON:-python3}" -c "import lloyd; print('python: lloyd', lloyd.__version__)" ||
        fail "the installed Python package does not find its library"
fi

shared=$(installed liblloyd.so)
static=$(installed liblloyd.a)

# What the headers declare is what the shared library exports, nothing more and nothing less, and all of it in the version that
# the library's own name has: liblloyd.so.2 and LLOYD_2. (The version itself is there as an absolute symbol.)
soname=$(objdump -p "$shared" | awk '$1 == "SONAME" { print $2 }')
version=LLOYD_${soname#liblloyd.so.}
diff <(cat "$prefix"/include/lloyd/*.h | tr '\n' ' ' |
    grep -oE 'LLOYD_API [^(;]*lloyd_[a-z0-9_]+\(' | grep -oE 'lloyd_[a-z0-9_]+\($' | sed "s/($/@@$version/" | sort) \
    <(nm -D --defined-only --with-symbol-versions "$shared" | awk -v version="$version" '$2 != "A" || $3 != version { print $3 }' | sort) ||
    fail "the public headers (left) and the symbols of liblloyd.so (right) differ"

# Each header stands alone, in C and in C++, without a warning. (Those of MPI's own header are not ours.) A short name, <lloyd.h>,
# does too.
mapfile -t mpi < <(mpicc --showme:incdirs 2>/dev/null | tr ' ' '\n' | sed '/./s/^/-isystem/')
for header in lloyd.h lloyd/lloyd.h lloyd/lloyd_mpi.h lloyd/status.h; do
    if [[ $header == */lloyd_mpi.h && ${#mpi[@]} == 0 ]]; then
        echo "SKIPPED lloyd_mpi.h by itself: mpicc does not say where mpi.h is"
        continue
    fi
    echo "#include <$header>" >"$work/header.c"
    for language in "$cc -x c -std=c17" "${CXX:-c++} -x c++ -std=c++17"; do
        read -ra compiler <<<"$language"
        "${compiler[@]}" -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I "$prefix/include" -I "$prefix/include/lloyd" "${mpi[@]}" "$work/header.c" ||
            fail "$header does not compile by itself with $language"
    done
done

# The objects of a static library share the names of the whole program, so all of them carry our prefix. (Compilers put one
# of their own before the locks of OpenMP's named critical sections and before C++ functions. Not meant: weak symbols, which are
# instances of CUDA's templates, and what nvcc makes of anonymous namespaces.)
strangers=$(nm -g --defined-only "$static" |
    awk 'NF == 3 && $2 !~ /[VWu]/ && $3 !~ /^(\.gomp_critical_user_|_Z[0-9]+)?lloyd_/ && $3 !~ /_GLOBAL__N_/ { print $3 }')
[[ -z $strangers ]] || fail "liblloyd.a defines $strangers"

run() {
    local name=$1
    shift
    "$@" "$data" "$work/$name.h5" >"$work/$name.out" || fail "$name failed"
    echo "$name: $(cat "$work/$name.out")"
    cmp "$work/$name.out" "$work/shared.out" || fail "$name and shared differ"
}

# On two ranks: half of the rows each, 10,000 around each corner, in one order whatever the build.
example() {
    local name=$1
    shift
    "$mpirun" -n 2 "$@" >"$work/$name.out" 2>&1 || { cat "$work/$name.out"; fail "$name failed"; }
    sort "$work/$name.out" >"$work/$name.sorted"
    [[ $(grep -c 'cluster [0-3]:  10000 rows around' "$work/$name.out") == 4 &&
        $(grep -c '^rank [01]: its first row is in cluster [0-3]$' "$work/$name.out") == 2 ]] ||
        { cat "$work/$name.out"; fail "$name found other clusters"; }
    cmp "$work/$name.sorted" "$work/example-shared.sorted" || fail "$name and example-shared differ"
}

generator=()
if command -v ninja >/dev/null; then generator=(-G Ninja); fi
"$cmake" "${generator[@]}" -S "$here" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
    -DEXAMPLES="$examples" \
    >"$work/configure.log" 2>&1 || { cat "$work/configure.log"; fail "find_package(lloyd) failed"; }
"$cmake" --build "$work/cmake" >"$work/build.log" 2>&1 ||
    { cat "$work/build.log"; fail "the CMake consumer does not build"; }
run shared "$work/cmake/consumer"
run static "$work/cmake/consumer-static"
"$work/cmake/consumer-cxx" || fail "the C++ consumer failed"
example example-shared "$work/cmake/example-shared"
example example-static "$work/cmake/example-static"

if command -v pkg-config >/dev/null; then
    export PKG_CONFIG_PATH
    PKG_CONFIG_PATH=$(dirname "$(installed pkgconfig/lloyd.pc)")
    read -ra flags <<<"$(pkg-config --cflags --libs lloyd)"
    "$cc" "$here/consumer.c" -o "$work/pc-shared" "${flags[@]}"
    run pc-shared env LD_LIBRARY_PATH="$(dirname "$shared")" "$work/pc-shared"
    if command -v mpicc >/dev/null; then # as the example's first lines say
        mpicc "$examples/cluster_my_rows.c" "${flags[@]}" -o "$work/example-pc"
        example example-pc env LD_LIBRARY_PATH="$(dirname "$shared")" "$work/example-pc"
    fi

    rm "$shared"* # so that -llloyd is the static library
    read -ra flags <<<"$(pkg-config --static --cflags --libs lloyd)"
    "$cc" "$here/consumer.c" -o "$work/pc-static" "${flags[@]}"
    run pc-static "$work/pc-static"
fi
