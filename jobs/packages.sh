# shellcheck shell=bash
# Which Debian or Ubuntu packages lloyd needs, and how they are installed. To be sourced:
#
#     lloyd_missing_packages build|test|slurm    prints the missing ones of the list, in one line
#     lloyd_install build|test|slurm             installs them; status 1 with advice where that cannot be done
#
# The only list of packages in the project. A program counts as present wherever it is on the PATH, and a Python module
# wherever it can be imported, so that an existing CMake or Python is not installed twice.

# package, then "program:NAME" or "module:NAME" where it may come from elsewhere
lloyd_packages() {
    case $1 in
        build)
            echo "cmake program:cmake"
            echo "ninja-build program:ninja"
            echo "gcc program:gcc"
            echo "pkg-config program:pkg-config"
            echo "libc6-dev"
            echo "libhdf5-dev"
            echo "zlib1g-dev"
            echo "hdf5-tools program:h5dump"
            echo "libopenmpi-dev"
            echo "openmpi-bin program:mpirun"
            echo "libopenblas-openmp-dev"
            echo "librandom123-dev"
            ;;
        test)
            echo "g++ program:g++"
            echo "libcmocka-dev"
            echo "valgrind program:valgrind"
            echo "clang program:clang"
            echo "libclang-rt-dev" # libFuzzer
            echo "clang-tidy program:clang-tidy"
            echo "clang-format program:clang-format"
            echo "libomp-dev" # omp.h for clang-tidy
            echo "cppcheck program:cppcheck"
            echo "shellcheck program:shellcheck"
            echo "groff-base program:groff"
            echo "python3-numpy module:numpy"
            echo "python3-h5py module:h5py"
            echo "python3-sklearn module:sklearn"
            echo "python3-matplotlib module:matplotlib"
            echo "python3-mpi4py module:mpi4py" # this and the next: for tests of the Python package
            echo "python3-pytest module:pytest"
            echo "python3-tqdm module:tqdm"
            echo "python3-venv module:ensurepip"
            ;;
        slurm) # for tests of the job scripts on a Slurm of their own
            echo "munge program:munged"
            echo "slurmctld program:slurmctld"
            echo "slurmd program:slurmd"
            echo "slurm-client program:sbatch"
            ;;
        *)
            echo "packages.sh: '$1' is neither build, test nor slurm" >&2
            return 2
            ;;
    esac
}

# Like the tests, this takes the first Python that has the modules.
lloyd_has_module() {
    local python
    for python in python3 /usr/bin/python3; do
        "$python" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$1') is None)" 2>/dev/null && return 0
    done
    return 1
}

lloyd_has_package() {
    local package=$1 elsewhere=${2:-}
    case $elsewhere in
        program:*) command -v "${elsewhere#program:}" >/dev/null && return 0 ;;
        module:*) lloyd_has_module "${elsewhere#module:}" && return 0 ;;
    esac
    # shellcheck disable=SC2016 # dpkg-query's own variable
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == "install ok installed" ]]
}

lloyd_missing_packages() {
    local list package elsewhere missing=()
    list=$(lloyd_packages "$1") || return
    while read -r package elsewhere; do
        # Without dpkg a library cannot be looked for here; CMake reports it if it does not find one.
        if [[ -z $elsewhere ]] && ! command -v dpkg-query >/dev/null; then continue; fi
        lloyd_has_package "$package" "$elsewhere" || missing+=("$package")
    done <<<"$list"
    [[ ${#missing[@]} -eq 0 ]] || echo "${missing[*]}"
}

lloyd_install() {
    local missing packages root=()
    missing=$(lloyd_missing_packages "$1") || return
    [[ -n $missing ]] || return 0
    read -ra packages <<<"$missing"
    if ! command -v apt-get >/dev/null; then
        echo "This needs what Debian calls: $missing." >&2
        echo "There is no apt-get here; install the same from your system's packages and try again." >&2
        return 1
    fi
    if [[ $(id -u) -ne 0 ]]; then
        if ! command -v sudo >/dev/null; then
            echo "Neither root nor sudo; have somebody run: apt-get install --no-install-recommends $missing" >&2
            return 1
        fi
        root=(sudo)
    fi
    echo "Installing with apt-get: $missing"
    root+=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
    local log
    log=$(mktemp)
    if "${root[@]}" update >"$log" 2>&1 &&
        "${root[@]}" install -y --no-install-recommends "${packages[@]}" >>"$log" 2>&1 </dev/null; then
        rm -f "$log"
        return 0
    fi
    tail -n 20 "$log" >&2
    echo "apt-get failed; all of its output is in $log" >&2
    return 1
}
