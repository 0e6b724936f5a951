# Finds what liblloyd links with: MPI, HDF5, zlib, OpenMP, threads and a BLAS with <cblas.h>; with LLOYD_HAVE_CUDA the CUDA runtime, and
# then, unless LLOYD_NCCL is OFF, NCCL where it is found.
#
# Used twice: by the build, with LLOYD_FIND set to REQUIRED, and from the installed package by programs that link the static
# library, with LLOYD_FIND set to QUIET. Sets LLOYD_DEPENDENCIES to the targets, LLOYD_DEPENDENCIES_FOUND,
# for the BLAS LLOYD_BLAS_NAME and LLOYD_BLAS_LIBRARIES, and for CUDA and NCCL LLOYD_CUDA_LIBRARIES and LLOYD_NCCL_VERSION.

find_package(MPI ${LLOYD_FIND} COMPONENTS C)
find_package(HDF5 ${LLOYD_FIND} COMPONENTS C)
find_package(OpenMP ${LLOYD_FIND} COMPONENTS C)
find_package(ZLIB ${LLOYD_FIND})
find_package(Threads ${LLOYD_FIND})

# OpenBLAS first, since it is fast and its pkg-config file knows where cblas.h is; else whatever BLAS CMake finds (choose with
# BLA_VENDOR). Either must compile and link a call of cblas_sgemm().
if(NOT TARGET lloyd::blas)
  include(CheckCSourceCompiles)
  include(CMakePushCheckState)
  find_package(PkgConfig QUIET)

  set(LLOYD_BLAS_CANDIDATES)
  if(PKG_CONFIG_FOUND AND NOT BLA_VENDOR)
    pkg_check_modules(LLOYD_OPENBLAS QUIET openblas)
    if(LLOYD_OPENBLAS_FOUND)
      list(APPEND LLOYD_BLAS_CANDIDATES OPENBLAS)
      set(LLOYD_OPENBLAS_NAME "OpenBLAS ${LLOYD_OPENBLAS_VERSION}")
      set(LLOYD_OPENBLAS_LIBRARIES ${LLOYD_OPENBLAS_LINK_LIBRARIES})
    endif()
  endif()
  if(NOT LLOYD_BLAS_CANDIDATES)
    find_package(BLAS QUIET)
    if(BLAS_FOUND)
      find_path(CBLAS_INCLUDE_DIR cblas.h PATH_SUFFIXES openblas cblas DOC "Folder that contains cblas.h")
      find_library(CBLAS_LIBRARY cblas DOC "libcblas, where it is apart from the BLAS")
      mark_as_advanced(CBLAS_INCLUDE_DIR CBLAS_LIBRARY)
      set(LLOYD_PLAIN_NAME "${BLAS_LIBRARIES}")
      set(LLOYD_PLAIN_LIBRARIES ${BLAS_LIBRARIES} ${BLAS_LINKER_FLAGS})
      set(LLOYD_APART_NAME "${CBLAS_LIBRARY}")
      set(LLOYD_APART_LIBRARIES ${CBLAS_LIBRARY} ${BLAS_LIBRARIES} ${BLAS_LINKER_FLAGS})
      if(CBLAS_INCLUDE_DIR)
        set(LLOYD_PLAIN_INCLUDE_DIRS ${CBLAS_INCLUDE_DIR})
        set(LLOYD_APART_INCLUDE_DIRS ${CBLAS_INCLUDE_DIR})
        list(APPEND LLOYD_BLAS_CANDIDATES PLAIN)
        if(CBLAS_LIBRARY)
          list(APPEND LLOYD_BLAS_CANDIDATES APART)
        endif()
      endif()
    endif()
  endif()

  foreach(candidate ${LLOYD_BLAS_CANDIDATES})
    cmake_push_check_state(RESET)
    set(CMAKE_REQUIRED_INCLUDES ${LLOYD_${candidate}_INCLUDE_DIRS})
    set(CMAKE_REQUIRED_LIBRARIES ${LLOYD_${candidate}_LIBRARIES})
    set(CMAKE_REQUIRED_QUIET ON)
    check_c_source_compiles(
      "#include <cblas.h>
       int main(void)
       {
           float a = 2, b = 3, c = 0;
           cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, 1, 1, 1, 1, &a, 1, &b, 1, 0, &c, 1);
           return c != 6;
       }"
      LLOYD_${candidate}_WORKS)
    cmake_pop_check_state()
    if(LLOYD_${candidate}_WORKS)
      add_library(lloyd::blas INTERFACE IMPORTED)
      target_include_directories(lloyd::blas INTERFACE ${LLOYD_${candidate}_INCLUDE_DIRS})
      target_link_libraries(lloyd::blas INTERFACE ${LLOYD_${candidate}_LIBRARIES})
      set(LLOYD_BLAS_NAME "${LLOYD_${candidate}_NAME}")
      set(LLOYD_BLAS_LIBRARIES ${LLOYD_${candidate}_LIBRARIES})
      break()
    endif()
  endforeach()
  if(LLOYD_FIND STREQUAL "REQUIRED" AND NOT TARGET lloyd::blas)
    message(FATAL_ERROR "No BLAS with cblas.h found. Install libopenblas-dev, or set PKG_CONFIG_PATH to the folder of "
                        "openblas.pc, or CBLAS_INCLUDE_DIR and BLA_VENDOR to another BLAS.")
  endif()
endif()

# The CUDA runtime is linked statically, so that a program built with CUDA starts where there is no GPU. It and the kernels are
# C++ inside.
set(LLOYD_CUDA_LIBRARIES)
set(LLOYD_CUDA_TARGETS)
if(LLOYD_HAVE_CUDA)
  find_package(CUDAToolkit ${LLOYD_FIND})
  list(APPEND LLOYD_CUDA_TARGETS CUDA::cudart_static)
  list(APPEND LLOYD_CUDA_LIBRARIES ${CUDA_cudart_static_LIBRARY} -lstdc++ -ldl -lrt)
endif()
if(LLOYD_HAVE_CUDA AND NOT LLOYD_NCCL STREQUAL OFF)
  find_path(
    NCCL_INCLUDE_DIR nccl.h
    HINTS ${NCCL_ROOT} ENV NCCL_ROOT ENV NCCL_HOME
    PATHS ${CUDAToolkit_INCLUDE_DIRS}
    PATH_SUFFIXES include
    DOC "Folder that contains nccl.h")
  find_library(
    NCCL_LIBRARY
    NAMES nccl libnccl.so.2
    HINTS ${NCCL_ROOT} ENV NCCL_ROOT ENV NCCL_HOME
    PATHS ${CUDAToolkit_LIBRARY_DIR}
    PATH_SUFFIXES lib lib64
    DOC "libnccl")
  mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY)
  set(LLOYD_NCCL_VERSION)
  if(NCCL_INCLUDE_DIR AND NCCL_LIBRARY)
    file(STRINGS ${NCCL_INCLUDE_DIR}/nccl.h numbers REGEX "^#define NCCL_(MAJOR|MINOR|PATCH) [0-9]+")
    string(REGEX MATCHALL "[0-9]+" numbers "${numbers}")
    list(JOIN numbers "." LLOYD_NCCL_VERSION)
  endif()
  if(LLOYD_NCCL_VERSION VERSION_GREATER_EQUAL 2.19)
    if(NOT TARGET lloyd::nccl)
      add_library(lloyd::nccl INTERFACE IMPORTED)
      target_include_directories(lloyd::nccl INTERFACE ${NCCL_INCLUDE_DIR})
      target_link_libraries(lloyd::nccl INTERFACE ${NCCL_LIBRARY})
    endif()
    list(APPEND LLOYD_CUDA_LIBRARIES ${NCCL_LIBRARY})
  endif()
  if(TARGET lloyd::nccl OR LLOYD_NCCL STREQUAL ON)
    list(APPEND LLOYD_CUDA_TARGETS lloyd::nccl)
  endif()
endif()

set(LLOYD_DEPENDENCIES MPI::MPI_C hdf5::hdf5 ZLIB::ZLIB OpenMP::OpenMP_C Threads::Threads lloyd::blas ${LLOYD_CUDA_TARGETS} m)
if(LLOYD_HAVE_CUDA)
  list(APPEND LLOYD_DEPENDENCIES stdc++)
endif()
set(LLOYD_DEPENDENCIES_FOUND TRUE)
foreach(dependency MPI::MPI_C hdf5::hdf5 ZLIB::ZLIB OpenMP::OpenMP_C Threads::Threads lloyd::blas ${LLOYD_CUDA_TARGETS})
  if(NOT TARGET ${dependency})
    set(LLOYD_DEPENDENCIES_FOUND FALSE)
    list(APPEND LLOYD_DEPENDENCIES_MISSING ${dependency})
  endif()
endforeach()
