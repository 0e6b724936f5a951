"""What cmake says of CUDA: that it is built because nvcc was found, how long that takes, and how to leave it out. The compiler here
is a stand-in, so that the test needs none."""
import os
import shutil

from common import ROOT, Test


SCRIPT = """
list(PREPEND CMAKE_MODULE_PATH "${CMAKE_CURRENT_LIST_DIR}") # whose CheckLanguage finds the stand-in
function(enable_language)
  set(CMAKE_CUDA_COMPILER_ID NVIDIA PARENT_SCOPE)
  set(CMAKE_CUDA_COMPILER_VERSION 12.9.1 PARENT_SCOPE)
endfunction()
include("${ROOT}/src/cmake/lloyd-cuda.cmake")
message("have ${LLOYD_HAVE_CUDA}")
message("summary ${LLOYD_CUDA_SUMMARY}")
message("note ${LLOYD_CUDA_NOTE}")
"""


def configured(t, cmake, wanted, found):
    with open(t.path("CheckLanguage.cmake"), "w", encoding="ascii") as file:
        file.write(f"macro(check_language language)\n  set(CMAKE_CUDA_COMPILER {'/opt/cuda/bin/nvcc' if found else ''})\nendmacro()\n")
    with open(t.path("script.cmake"), "w", encoding="ascii") as file:
        file.write(SCRIPT)
    result = t.run([cmake, f"-DROOT={ROOT}", f"-DLLOYD_CUDA={wanted}", "-P", t.path("script.cmake")])
    said = dict(line.split(" ", 1) for line in result.err.splitlines() if line.split(" ", 1)[0] in ("have", "summary", "note"))
    return said, result


def main():
    t = Test("build-options")
    cmake = shutil.which("cmake")
    if not t.check(cmake, "cmake is there"):
        t.finish()
    note = "compiling this takes about 5 minutes for one architecture; -DLLOYD_CUDA=OFF leaves it out"
    for wanted, found, has, summary, told in (
            ("AUTO", True, "ON", "12.9.1, architectures 80 90a-real, because /opt/cuda/bin/nvcc was found", note),
            ("ON", True, "ON", "12.9.1, architectures 80 90a-real", ""),
            ("OFF", True, "OFF", "left out as asked", ""),
            ("AUTO", False, "OFF", "left out: no CUDA compiler found", "")):
        said, result = configured(t, cmake, wanted, found)
        t.check(said == {"have": has, "summary": summary, "note": told},
                f"LLOYD_CUDA={wanted}, {'with' if found else 'without'} nvcc", f"      {said}\n{result.describe()}")
    # And the summary shows the note.
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as file:
        t.check("message(STATUS \"                 ${LLOYD_CUDA_NOTE}\")" in file.read(), "cmake shows it")
    t.finish()


main()
