# Decides whether this build has CUDA kernels: LLOYD_HAVE_CUDA is ON and CUDA is an enabled language, or LLOYD_CUDA_SUMMARY says
# why not. LLOYD_CUDA=AUTO takes what is there, ON insists, OFF does not look. LLOYD_CUDA_NOTE is for who did not ask for the minutes
# that it takes, else empty.

set(LLOYD_HAVE_CUDA OFF)
set(LLOYD_CUDA_SUMMARY "left out as asked")
set(LLOYD_CUDA_NOTE "")

# The toolkit's usual place is on few people's PATH.
macro(lloyd_find_nvcc)
  if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(
      LLOYD_NVCC nvcc
      HINTS ${CUDAToolkit_ROOT} ENV CUDAToolkit_ROOT ENV CUDA_HOME ENV CUDA_PATH
      PATHS /usr/local/cuda
      PATH_SUFFIXES bin)
    mark_as_advanced(LLOYD_NVCC)
    if(LLOYD_NVCC)
      set(ENV{CUDACXX} ${LLOYD_NVCC})
    endif()
  endif()
endmacro()

if(LLOYD_CUDA STREQUAL AUTO AND LLOYD_SANITIZE)
  set(LLOYD_CUDA_SUMMARY "left out: the sanitizers take addresses that the CUDA driver needs")
elseif(NOT LLOYD_CUDA STREQUAL OFF)
  include(CheckLanguage)
  lloyd_find_nvcc()
  # 80: machine code and PTX, which newer GPUs translate; 90a: Hopper's own.
  set(CMAKE_CUDA_ARCHITECTURES "80;90a-real" CACHE STRING "GPUs that the kernels are compiled for")
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    if(NOT CMAKE_CUDA_COMPILER_ID STREQUAL NVIDIA OR CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.0)
      set(LLOYD_CUDA_SUMMARY "left out: ${CMAKE_CUDA_COMPILER} is not nvcc 12.0 or later")
    else()
      set(LLOYD_HAVE_CUDA ON)
      list(JOIN CMAKE_CUDA_ARCHITECTURES " " LLOYD_CUDA_SUMMARY)
      set(LLOYD_CUDA_SUMMARY "${CMAKE_CUDA_COMPILER_VERSION}, architectures ${LLOYD_CUDA_SUMMARY}")
      if(LLOYD_CUDA STREQUAL AUTO)
        string(APPEND LLOYD_CUDA_SUMMARY ", because ${CMAKE_CUDA_COMPILER} was found")
        set(LLOYD_CUDA_NOTE "compiling this takes about 5 minutes for one architecture; -DLLOYD_CUDA=OFF leaves it out")
      endif()
    endif()
  else()
    set(LLOYD_CUDA_SUMMARY "left out: no CUDA compiler found")
  endif()
  if(LLOYD_CUDA STREQUAL ON AND NOT LLOYD_HAVE_CUDA)
    message(FATAL_ERROR "LLOYD_CUDA=ON, but CUDA is ${LLOYD_CUDA_SUMMARY}. Set CMAKE_CUDA_COMPILER to an nvcc of CUDA 12.0 or "
                        "later (it needs g++ too), or configure with LLOYD_CUDA=AUTO or OFF to build for CPUs.")
  endif()
endif()
